{
  "format": 1,
  "signatures": [
    {
      "key_id": "168c59a54a0d5b6c",
      "signature": "L+xVE9HWZqLnFao6iQzFSTqaJsTZfE5wWbTcGwGg1eo5+0G8vH1e7Jm9KgnvGIsxo/IqxECJIKYj9UW3LxAgBw=="
    },
    {
      "key_id": "d7e1e084be213b01",
      "signature": "eQyhq66HvooNSNR+rFqzsQjzHwDezcWARMsCN8CZAkk68xV8biaeHXKkPO4j6yBInog0sWpv8RO7CsPIQ/Q5CQ=="
    }
  ]
}
