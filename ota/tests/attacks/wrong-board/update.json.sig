{
  "format": 1,
  "signatures": [
    {
      "key_id": "168c59a54a0d5b6c",
      "signature": "6sp7ydyG+0IZlywwEhX8YbDOMjKvPTu5UDMwEeJqApxvSvv/CU0NRcugR7EMD1d6f1ARtREuVvIoXHgpEr8eCA=="
    },
    {
      "key_id": "d7e1e084be213b01",
      "signature": "t5Ty1S7nybfU2ZSbRzBKbk1i07xlTptLO1BJon+t32izKhnZCoC+KBVm4McvXCOHc05Yr+9AzxMbzRiYBfXHAQ=="
    }
  ]
}
