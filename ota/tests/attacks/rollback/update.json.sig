{
  "format": 1,
  "signatures": [
    {
      "key_id": "168c59a54a0d5b6c",
      "signature": "xmr81N7PGWBk7R6cg6tbePC3OGojEdR/YaN80QX3A2vLsZIUxbw8/GGch3vrvc3sWTTelmhwZ2EyDPRDzSAzAg=="
    },
    {
      "key_id": "d7e1e084be213b01",
      "signature": "4bmdf26j79V6evdRnihVy+UvcdPFxjhyu6TsLHtgI86UrIzwDeD/ZYkx2GxZIYgg9OqakEYv5ZCOK/cbEf3GDw=="
    }
  ]
}
