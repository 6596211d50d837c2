{
  "format": 1,
  "signatures": [
    {
      "key_id": "168c59a54a0d5b6c",
      "signature": "ORfv2QKPnxGSOs61Za5u8i7HZsuwutm7EnD99R03QUb/etbQJNqtZwsIDczbriLS1QG4UToil7Xn9UJGJ0huAQ=="
    },
    {
      "key_id": "d7e1e084be213b01",
      "signature": "mO0+8WAV8D1lncLpmHlJrnGDpU0ZMx4bKUC/0UX4qEYkhRVFw/pclnBZODSvx8wcGNXFPjVS2G9Jti/zDsk1CA=="
    }
  ]
}
