{
  "format": 1,
  "signatures": [
    {
      "key_id": "d7e1e084be213b01",
      "signature": "AmS133lUcPk6AjIrkh/lqF9CxxUdsb8nkzllkFhMSOzbm1piONeC31Z0zC8TCfdEdlJOkzeX2YhR8aBqHBWqBg=="
    },
    {
      "key_id": "d7e1e084be213b01",
      "signature": "AmS133lUcPk6AjIrkh/lqF9CxxUdsb8nkzllkFhMSOzbm1piONeC31Z0zC8TCfdEdlJOkzeX2YhR8aBqHBWqBg=="
    }
  ]
}
