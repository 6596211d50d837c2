{
  "format": 1,
  "signatures": [
    {
      "key_id": "168c59a54a0d5b6c",
      "signature": "9PNaNPNuBgEbrgUSCex4Zey+XJijf1JPS6AMXm0Lwuxd2HkyY/6CGZ1c8eI5Jod78e5fNH6fkt21VkrLEeCTBg=="
    },
    {
      "key_id": "d7e1e084be213b01",
      "signature": "9wN/frPjKcu0BEsDwnsz/u11t8HjJkfNHGyBLt+ufF76+e6824q6VJyaZIRX5/2gO27yV+f/Jfme3fbJoB20BQ=="
    }
  ]
}
