{
  "format": 1,
  "signatures": [
    {
      "key_id": "168c59a54a0d5b6c",
      "signature": "6B+ij43M7ESKZtthhuK1d/bcKZvRqrMQ913UN8R/wc2Ln1pJfu7ccPTMmvacH3LX2EGCMX3r2hWsCFM5aKpDBQ=="
    },
    {
      "key_id": "d7e1e084be213b01",
      "signature": "E+vcnEFqOB4FNL06phFH/JX7tNgL0f2S5ipRlbncg6BiIo5quNgs8u96V+4NW7qH66BTKO4MDoISbxugSzjPCg=="
    }
  ]
}
