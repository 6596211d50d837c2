{
  "format": 1,
  "signatures": [
    {
      "key_id": "168c59a54a0d5b6c",
      "signature": "/WzqdxW1HcgkoD7T6t7B63oRSRSBTZz/U/xkbBvqyxeSDi/xErP6YZguYQ2E39+y6wLiAws97ZN9qE4tShs9Dg=="
    },
    {
      "key_id": "d7e1e084be213b01",
      "signature": "mfGSxRNPxRFUF5DS3HjbSn7LhfAKaK+XNSZW2445U/rFyqUjlUJT8loU6xSM27db+S33kSZKgxfPtBHDv/zDAg=="
    }
  ]
}
