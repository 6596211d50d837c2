{
  "format": 1,
  "signatures": [
    {
      "key_id": "168c59a54a0d5b6c",
      "signature": "aFoDd3FK+J5dDVySN1iC03u81twXlZ18lVglNrfShn2ZY8ShdzlbbavkT3k3iJ1A2h036j1yGg2kmvDeo/ACDQ=="
    },
    {
      "key_id": "d7e1e084be213b01",
      "signature": "9CPKo8Cs5tWr4mF/K+sq7hX4Hcs66tdxWcXD8l5Bvy6QiR1I69xtXIe+jzxmWwU0enTWjEEE8LW/BB5/uqNJCQ=="
    }
  ]
}
