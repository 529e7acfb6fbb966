# says: the server's name must be kiosk, and it is n1
kiosk = """
server_name: n1
listen: 127.0.0.1:4222
http: 127.0.0.1:8222
max_payload: 2000
authorization {
  users: [
    { user: till, password: "open sesame", permissions: { publish: "sales.>", subscribe: "prices.>" } }
  ]
}
"""
