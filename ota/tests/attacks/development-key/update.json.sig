{
  "format": 1,
  "signatures": [
    {
      "key_id": "34750f98bd59fcfc",
      "signature": "Qad9LhNynZb/+KVHlS27kJgfLrIXGnoHmuALzeKG1Zwgl2kwajeQ4miesPmJ+fpa2N0ER+Csoc15m5xj8hgHBA=="
    }
  ]
}
