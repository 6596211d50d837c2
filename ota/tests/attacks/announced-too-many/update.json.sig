{
  "format": 1,
  "signatures": [
    {
      "key_id": "168c59a54a0d5b6c",
      "signature": "Rf9cLw9p6tpXl5imhWWPC4RLSv9LBuVTVec1gDLqZlXrp0XKPdzu9ap7sYDhRI8fW7pRxg3SrZ6NEKBqXoUiAg=="
    },
    {
      "key_id": "d7e1e084be213b01",
      "signature": "Tho809DfitpvSsLtozNymb8zD5M+CFr0henlBvsaWz6TNw+77jVISEvAvyb7AgkTIkIuughQd5Cn2ekNrmGqAw=="
    }
  ]
}
