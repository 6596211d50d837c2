{
  "format": 1,
  "signatures": [
    {
      "key_id": "168c59a54a0d5b6c",
      "signature": "qCWvzPnGKKsORS9xfyMaKh13dDCwvApwc8nF6HdkmyQ3ERnPEUriPLUIVufLZ+Krenoewjk7eDkgveEn0wj5Aw=="
    },
    {
      "key_id": "d7e1e084be213b01",
      "signature": "l8GUrSmlqXQC5CrpNttGNqIgHgMCgFXC4r2GVTX/j3K56/xFETVrY1qAStG8HziDALdxc6qBME+g/LIh8El8Ag=="
    }
  ]
}
