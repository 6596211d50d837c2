{
  "format": 1,
  "signatures": [
    {
      "key_id": "168c59a54a0d5b6c",
      "signature": "kXTUQpJVeu2ZZezGuK+XvU03BeQyMsfjNzx/JaptNSPbQv8DFqPkzodFCLskGAL68y5ixKX46laCm/FR2uz6DA=="
    },
    {
      "key_id": "d7e1e084be213b01",
      "signature": "AmS133lUcPk6AjIrkh/lqF9CxxUdsb8nkzllkFhMSOzbm1piONeC31Z0zC8TCfdEdlJOkzeX2YhR8aBqHBWqBg=="
    }
  ]
}
