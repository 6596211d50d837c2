{
  "format": 1,
  "signatures": [
    {
      "key_id": "168c59a54a0d5b6c",
      "signature": "y0vO0W3kf5wkR3LymtnwhU3c3EB7iz07HmBqcp7fZAZs/RcVlaTsMaZ+fVGh31wB9PfmKWSS8FEXdgRNQBImDw=="
    },
    {
      "key_id": "d7e1e084be213b01",
      "signature": "cnoZrUJ33W6PMe9aQD91vPUeeRbs8u2Z55H1NdtMG3njkHx7N3VnKZVv65j501+OZcaaR6PzjFhWJlkArwBEBg=="
    }
  ]
}
