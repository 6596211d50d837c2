{
  "format": 1,
  "signatures": [
    {
      "key_id": "168c59a54a0d5b6c",
      "signature": "yVPGf1rbLG9Rb8tweayVAW2iaXAjtRO00uPF+L/xY7ddtJ0oRMLEEknuggirTz9NjIwDOOPNa3xoO8k017CMDg=="
    },
    {
      "key_id": "d7e1e084be213b01",
      "signature": "V9TJkBfBGZ/R8gSkW5JHOgGD7dpjjnsA1UhwHFCuSInfRvabJv7+x+XhIS4+5yE4S93se/nGU42NWJwu4iCaCA=="
    }
  ]
}
