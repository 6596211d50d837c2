{
  "format": 1,
  "signatures": [
    {
      "key_id": "168c59a54a0d5b6c",
      "signature": "Rv0YBmpxZ2luZqwddGY91hvgW4XkGe0IyBa6GxZQKuEiTozmc6TWwwO7oyKK6K6Qg7EMmf/A3DuK1JVXlK