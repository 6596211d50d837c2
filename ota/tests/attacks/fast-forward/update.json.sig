{
  "format": 1,
  "signatures": [
    {
      "key_id": "168c59a54a0d5b6c",
      "signature": "lVCHRD1zDL59oiNVduE2Vqhalcu4xG18eM+oL8IJJzIVJwHak08XnJYU/yHAOFXRQslCln4XfyK1EB+7bst4Aw=="
    },
    {
      "key_id": "d7e1e084be213b01",
      "signature": "jnSPfSdyH9nEqu60vAzDZMA719DylabUvwH/C30FidmOPi8SxhdJRrrQ3pi9+Thy6+HhCCs8flSRaSa0bHb6Dg=="
    }
  ]
}
