{
  "format": 1,
  "signatures": [
    {
      "key_id": "168c59a54a0d5b6c",
      "signature": "wVhK4RDElMqkv3fDZPKtdt0ST3mNHLJTwULWM0274A6n6hb5/ptaESeHWjs+Aayx2NVj8GmsuLmExuMjpmh7AA=="
    },
    {
      "key_id": "d7e1e084be213b01",
      "signature": "C+oSRuZde7cZju0CxsWL299n/SxII3ofgRK/lElqE7hRNut61RRfxD3R11h7QHI5DOmRZDQE1qM0tpT2TrqhBg=="
    }
  ]
}
