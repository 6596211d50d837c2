{
  "format": 1,
  "signatures": [
    {
      "key_id": "d7e1e084be213b01",
      "signature": "oWu4kY3WCjiSwwVmr6e5RL7Enb8XeP7ta27KVHvJgUfhHhUO3NTSBDbk5/8wYTH5dpIj/+kj2knB1dDBodRQBw=="
    },
    {
      "key_id": "d7e1e084be213b01",
      "signature": "oWu4kY3WCjiSwwVmr6e5RL7Enb8XeP7ta27KVHvJgUfhHhUO3NTSBDbk5/8wYTH5dpIj/+kj2knB1dDBodRQBw=="
    }
  ]
}
