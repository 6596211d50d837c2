{
  "format": 1,
  "signatures": [
    {
      "key_id": "168c59a54a0d5b6c",
      "signature": "1HJLMmVm4kIBHE7eCahkic9FxKSUFOmkTVBqBzNEoC/wgQL10L7MxL5bHYtHErohhzGunrMXCPmY9vTW73AAAA=="
    },
    {
      "key_id": "d7e1e084be213b01",
      "signature": "yihgKmII2MACEXkh/RUdoOtGLmM8N09wYWmL2IpexfEPdBxQoVx4+okPfvddvEKfhiQdMzcbHstvTzh2XT2+Ag=="
    }
  ]
}
