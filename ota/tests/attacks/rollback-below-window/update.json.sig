{
  "format": 1,
  "signatures": [
    {
      "key_id": "168c59a54a0d5b6c",
      "signature": "XtzF9Jz9Nti+4VF8KCyNHncNiPuO2ZUjQN4by8b4yciLNUMAjuP+chFqJBRQHgIxzmoGnlJExKkAoLXP42+gCQ=="
    },
    {
      "key_id": "d7e1e084be213b01",
      "signature": "r/XZ/bRE3dV0KGfkuzddSa8IsM4eyoWOoN4QMoHh2ZPoN3RLpiQXMUEmQnYpEobOvNL2iBtFyx6ftf4+A+66Dg=="
    }
  ]
}
