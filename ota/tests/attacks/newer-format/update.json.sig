{
  "format": 1,
  "signatures": [
    {
      "key_id": "168c59a54a0d5b6c",
      "signature": "iuOPLuRWizLkpO7+vH+O65hsoWozYJebVsv4yeWQ22+IpimEr7y3yonTf0Lp2p7SGCgBdU9oFIVP+K5Y3q/1Ag=="
    },
    {
      "key_id": "d7e1e084be213b01",
      "signature": "YL+SUkhV/FcjyZUYlO+JtzyQFB0Df5yuvpogc1Pjcx01M2a56a+u7PmEah78QPQEzLjL+Stg8LTs0kw8KvC2BQ=="
    }
  ]
}
