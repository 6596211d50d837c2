{
  "format": 1,
  "signatures": [
    {
      "key_id": "168c59a54a0d5b6c",
      "signature": "gvgXnyDLNTiFl0XEcqBH4GpbGLXEpHPePzR8mudBRa0Tq3gyBT8SfI4WkTPVGbmFs/Cs+pD+1d5FHKdM7f74AA=="
    },
    {
      "key_id": "d7e1e084be213b01",
      "signature": "9lWrFfDw2282KBPFLfUBlPKc1R9qgI5P86Gd7cKD33b0ijJ15hsLPpEiMBF7qJdwkuNHsZtGWJOVbUq9jP1qAA=="
    }
  ]
}
