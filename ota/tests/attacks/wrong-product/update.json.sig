{
  "format": 1,
  "signatures": [
    {
      "key_id": "168c59a54a0d5b6c",
      "signature": "UiVyQxmXpX15WjuKxQAoAn8JV8kjm7zXci8eMOgjGezJja0nolkMHJKiUnMF8XkyT/0wIFF3JtRnSc2VZFkhDQ=="
    },
    {
      "key_id": "d7e1e084be213b01",
      "signature": "y6ZBir5KPXCRdj4EJnCxzf0dPFGDPLDWmJdohCcgm+rHhIKvacIYPsVbswMdYf+gH6T0ch32OaNObvr+MEjUCw=="
    }
  ]
}
