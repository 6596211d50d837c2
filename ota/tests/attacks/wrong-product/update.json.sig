{
  "format": 1,
  "signatures": [
    {
      "key_id": "168c59a54a0d5b6c",
      "signature": "TT6J+2QxOv59cYZCiezNY3ANKIhFHTk6oQzCiIAfi186rE6C2hGjGfMp5sX1N3gdQIAbl/R4jEI7+LOu+5yyBA=="
    },
    {
      "key_id": "d7e1e084be213b01",
      "signature": "9As6aW/mI6C2F6xLm3eMtcZbgSDiY36FW79UlAu1nV6vfUsyCCDkk9NQrGGbZgIiNgcc4WIhm1uZ3ZVkef59BQ=="
    }
  ]
}
