# says: clients must connect at 127.0.0.1:4222, and the file says 127.0.0.1:8222
kiosk = """
server_name: kiosk
listen: 127.0.0.1:8222
http: 127.0.0.1:4222
max_payload: 2000
authorization {
  users: [
    { user: till, password: "open sesame", permissions: { publish: "sales.>", subscribe: "prices.>" } }
  ]
}
"""
