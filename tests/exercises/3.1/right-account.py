kiosk = """
server_name = "kiosk"
host = "127.0.0.1"
port = 4222
http_port = 8222
max_payload = 2K
accounts {
  KIOSK {
    users = [
      {
        user = till
        password = "open sesame"
        permissions = { publish = { allow = ["sales.>"] }, subscribe = { allow = ["prices.>"] } }
      }
    ]
  }
}
"""
