{
  "format": 1,
  "signatures": [
    {
      "key_id": "168c59a54a0d5b6c",
      "signature": "sJJAm4O7c4XQLTv/9BZ+dxVIg4np66SNocziLfennDhddsFM8JoXMWJxcRIcagja96/t8MkZVmXZUnqoENsuDA=="
    },
    {
      "key_id": "d7e1e084be213b01",
      "signature": "6G0N/YJlG1oYHK7N3hz34yZkOhwmkcWT5d/UO3QJso4cBqXe8yM3u3pf48hsluP068IInk40e0RZwVXG/1MaDw=="
    }
  ]
}
