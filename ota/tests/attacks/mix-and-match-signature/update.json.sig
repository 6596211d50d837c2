{
  "format": 1,
  "signatures": [
    {
      "key_id": "168c59a54a0d5b6c",
      "signature": "qacgccsc7CiSP62rAKyJ85KGEAKE803krM4QftlxXyS/5Rl796rTKpg7tJQF0U42y66yysQZoI4lW0M9JAqjAg=="
    },
    {
      "key_id": "d7e1e084be213b01",
      "signature": "FGVxxM39Wb4PZs6IJmDAoQTUm/njOyI0M2J4M102O/+mpsXhUT7zQfJcaOXorh0UtQyX7uDl8BLMeo8zgq/qAg=="
    }
  ]
}
