{
  "format": 1,
  "signatures": [
    {
      "key_id": "168c59a54a0d5b6c",
      "signature": "hLjlAp61h5TJbRoxq3s+zVtVVw+nsDcXOvWZBzsiGnpAjlfHj+OY32HyJKpFRF0MvHmlAgg5vtEZuMX20idzDA=="
    },
    {
      "key_id": "d7e1e084be213b01",
      "signature": "D4v3H0xsHGevyAwsgNNtLhjFBwRtri+MH9prsYpiNr3gO0EHRGjsTm/IMUoVvogzN//8FtVmdi9eNtxuyuHFAQ=="
    }
  ]
}
