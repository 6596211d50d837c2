{
  "format": 1,
  "signatures": [
    {
      "key_id": "168c59a54a0d5b6c",
      "signature": "hemw5rGIqpiKKbi4tNhOgLLhT2tNjDra5EVlSc+BA1sDUKsYmiaCbO8xcXjzwG4a00Nr+oTO7IKkzw0I97P0AA=="
    },
    {
      "key_id": "d7e1e084be213b01",
      "signature": "rCQ7p+lUfQOL3ai4nQjN3pteaeiFHd6gXmp1aZ5MyJuAmfaiMT6ESofs+WkrGPfTNFRvOYf/MvB3JCHoNxOGAA=="
    }
  ]
}
