{
  "format": 1,
  "signatures": [
    {
      "key_id": "168c59a54a0d5b6c",
      "signature": "qP70WT/hMatl8gMwE8e+uRS2I5JPqletEjRpHP/2GukaatkaCi4h8ecRLzo7YOlzuV0AWWzNq25prCNCxgV2BQ=="
    },
    {
      "key_id": "d7e1e084be213b01",
      "signature": "zz9AIdctb/OX6W+C15/qge6URCSKNTV1vD4lHExWVg1KaR78gVDafYTZl838VJCWx3wWc2aZFXZCvL4IFZVsAQ=="
    }
  ]
}
