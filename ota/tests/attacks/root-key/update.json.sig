{
  "format": 1,
  "signatures": [
    {
      "key_id": "ed23d853125a3acf",
      "signature": "5h7JZhNJnDJNsfxzG4ACiC19wfOfBcctATmR6IGrnWGdbAq7Lk8QB1NIAwJAlDCn8SXk3hLfALr7yor72X0IDQ=="
    },
    {
      "key_id": "fdf72a088f18f739",
      "signature": "kKJ9AcwedGeE65eILsRnomBEkv7nwevkt/CWOHNgIN/T8LbUPQHse7LFiGvjtlL0Wa2OFcEug9R7SvnoQZAtDw=="
    }
  ]
}
