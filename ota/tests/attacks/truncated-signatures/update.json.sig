{
  "format": 1,
  "signatures": [
    {
      "key_id": "168c59a54a0d5b6c",
      "signature": "kXTUQpJVeu2ZZezGuK+XvU03BeQyMsfjNzx/JaptNSPbQv8DFqPkzodFCLskGAL68y5ixKX46laCm/FR2u