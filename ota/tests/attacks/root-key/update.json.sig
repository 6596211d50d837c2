{
  "format": 1,
  "signatures": [
    {
      "key_id": "ed23d853125a3acf",
      "signature": "2/NEaFQw/z1B7iTmq7wJLGj8+Zm6oV4W23f3dift2OufA4oWP1n4WcONlWR5rM1sdiGG7681WBFsKm1tPxq5BA=="
    },
    {
      "key_id": "fdf72a088f18f739",
      "signature": "3BZpwVU+9M9FoGNM/cspQAmIug2V1bnky1CcCgFTjS4VE1rpnyhUjqKLDTJ6CXP0luZtX9a4ZsiigR55YVuSDA=="
    }
  ]
}
