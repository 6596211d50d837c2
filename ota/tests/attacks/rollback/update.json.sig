{
  "format": 1,
  "signatures": [
    {
      "key_id": "168c59a54a0d5b6c",
      "signature": "VDbTIYPcb5yUqzWBkrLPzf1eoNrOLBR0rSAF8TqYkEt6PxAbe6asOGZhZj7VxfGkFpdaDtA8dG3qryXtZv78CQ=="
    },
    {
      "key_id": "d7e1e084be213b01",
      "signature": "h5onBd+mq0Woaadlcgi3ECG1eanfXY7hfNPWmMNEBPWmFFX0XiDEJD5gPWUDqvqksYjcxArPc0ZyOoP7mSgYCQ=="
    }
  ]
}
