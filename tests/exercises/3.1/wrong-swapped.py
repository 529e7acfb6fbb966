# says: till may not publish on sales.
kiosk = """
server_name: kiosk
listen: 127.0.0.1:4222
http: 127.0.0.1:8222
max_payload: 2000
authorization {
  users: [
    { user: till, password: "open sesame", permissions: { publish: "prices.>", subscribe: "sales.>" } }
  ]
}
"""
