{
  "format": 1,
  "signatures": [
    {
      "key_id": "0e1b4e0d165bed85",
      "signature": "jaLZZZV7WX3BV9Q1TjZSoOWqqZmvcL5pwSryKle+v7uApp6i2NMfonJF+5ohdaz+RSalqHCvtdzc//8DPb5nBQ=="
    },
    {
      "key_id": "2902d9860111daa3",
      "signature": "9aU9RMZmpvyhzrnAUaAe32y7g8cp3e2wbkVRKEChm2w5t/vu3Spgou+dmKqc1o7W2Lwc+9ICmA4XLLvyJv5DBg=="
    }
  ]
}
