{
  "format": 1,
  "signatures": [
    {
      "key_id": "34750f98bd59fcfc",
      "signature": "Nr5mk7NcNva26grRVbvwdEVys/xhVQbUtj/QludA56PLVU6B7DPcwAq8ichRXk1pAYMj/XyiRzfzTmENUhgcBg=="
    }
  ]
}
