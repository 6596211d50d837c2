{
  "format": 1,
  "signatures": [
    {
      "key_id": "0e1b4e0d165bed85",
      "signature": "cRRLUwwuSJHj2iyuhqyU7nNrP1ymeeoQXVkcCp/F6MT7oTdzPgeQ7nXXsCbG2dfp5XFirHorla79t7zxnl6eBQ=="
    },
    {
      "key_id": "2902d9860111daa3",
      "signature": "FhmbgwjRszjMr/N/Xf9sMVzODBHoFedlZ9lkWDGbZLa436gsuwzqU532HFBdajjrQi3dBDiItplWWQ/9SKpzAQ=="
    }
  ]
}
