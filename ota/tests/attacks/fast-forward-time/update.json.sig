{
  "format": 1,
  "signatures": [
    {
      "key_id": "168c59a54a0d5b6c",
      "signature": "LMvrFCKyI6zyK13KFvrBE/NhXe7nm23clHRLhC9hVxiP7GmGTaeNIEgw6hZ2bKj8eBhfa+cg5kT4CAt1DmMHDw=="
    },
    {
      "key_id": "d7e1e084be213b01",
      "signature": "FMMm9aCkLEE7VJDGj0ouIywg4WWAuforP3I6SxRxmlA8BDUKv6Fu2J+ps7qWl8gtbTutEyQqeLx7l1zl/MOfCQ=="
    }
  ]
}
