{
  "format": 1,
  "signatures": [
    {
      "key_id": "168c59a54a0d5b6c",
      "signature": "ur1S0J8aw7np7JUFtlejTZ6T4iOJRUWMyjO+WxJGXf8imBe7RRaK8K8FQaojdH0gHXHYHe/NeWXlgz2Eqt+XDw=="
    },
    {
      "key_id": "d7e1e084be213b01",
      "signature": "uUhXVw0M6Mpg88mqh2umMxPzAuqkJlEHK3O14Mhg1fOMcnXfxIEZFYiRiS7L0WGSKTnh3UeFRanAr9XyrvrQDw=="
    }
  ]
}
