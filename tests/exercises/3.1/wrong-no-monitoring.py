# says: the file has no monitoring
kiosk = """
server_name: kiosk
listen: 127.0.0.1:4222
max_payload: 2000
authorization {
  users: [
    { user: till, password: "open sesame", permissions: { publish: "sales.>", subscribe: "prices.>" } }
  ]
}
"""
