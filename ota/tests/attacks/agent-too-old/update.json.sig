{
  "format": 1,
  "signatures": [
    {
      "key_id": "168c59a54a0d5b6c",
      "signature": "/SZn4TxtO447T7R8Un58Wk5koa3aDTwUv6E18aO5K152wQE269jwb7poDxXeoGqCMWymf2qbNk5Rkpj79hfjBA=="
    },
    {
      "key_id": "d7e1e084be213b01",
      "signature": "il9sdgGyGpqhCXhamtGWfSMM38t8d2U9DzQweT+zaaUyc7td4z2RcOxCtfc+5Ch+Gwb9U8LYLXhAcz+hOPe/CQ=="
    }
  ]
}
