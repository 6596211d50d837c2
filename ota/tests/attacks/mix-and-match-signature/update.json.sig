{
  "format": 1,
  "signatures": [
    {
      "key_id": "168c59a54a0d5b6c",
      "signature": "dmQ6ytNAVWkuyJ+mymDSPyO9iaF8AiIrh/698LPBFqwPh843ioXEOyQzYhr9K9bE/a8unhxhQftQhY7LOzPVDA=="
    },
    {
      "key_id": "d7e1e084be213b01",
      "signature": "X28LnGymnw8KLMAuvcv8l2nFy8BCpJy8Pi9onhVk/ky0zOhJW/b4DNEmgTj9+iaHJaekpJ00Ov3LOIe+TiM9Ag=="
    }
  ]
}
