{
  "format": 1,
  "signatures": [
    {
      "key_id": "168c59a54a0d5b6c",
      "signature": "JOjhkZEBTZb2XUS90NR92ix92HKUM1HRr3qrMnjzKRiQQPvtz/x++v344awHs6PBEFFmFLJAI2Qx48k9Mcv7Bg=="
    },
    {
      "key_id": "d7e1e084be213b01",
      "signature": "QK9wLXT0YDmSNcJuiVV6qIXgK3jrvT2OZEaAJZFA7tIdCB14gH/IOzchoFIV3gsT6iLlJ8KDmv20F88E0IE+Dg=="
    }
  ]
}
