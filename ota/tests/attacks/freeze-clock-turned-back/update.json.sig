{
  "format": 1,
  "signatures": [
    {
      "key_id": "168c59a54a0d5b6c",
      "signature": "uqsxMvksEAxowKtMZjW+b180j4vINDVjloazSa3SXneIzvYtSCCz89U9oXf5ccc7UqSoQa3dOaILJj5J8vwMDw=="
    },
    {
      "key_id": "d7e1e084be213b01",
      "signature": "SMOLMdK+p/7WFl3LXYEEU3LUZ7hVowt4eWVRB+rRGxY4k3tR4jiVUnDCFeHsYsXJQLuPTQT3lnhUL5Tp0y05DQ=="
    }
  ]
}
