{
  "format": 1,
  "signatures": [
    {
      "key_id": "168c59a54a0d5b6c",
      "signature": "Rv0YBmpxZ2luZqwddGY91hvgW4XkGe0IyBa6GxZQKuEiTozmc6TWwwO7oyKK6K6Qg7EMmf/A3DuK1JVXlK46CA=="
    },
    {
      "key_id": "d7e1e084be213b01",
      "signature": "oWu4kY3WCjiSwwVmr6e5RL7Enb8XeP7ta27KVHvJgUfhHhUO3NTSBDbk5/8wYTH5dpIj/+kj2knB1dDBodRQBw=="
    }
  ]
}
