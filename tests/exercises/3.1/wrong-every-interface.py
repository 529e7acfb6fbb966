# says: could be reached from outside this machine
kiosk = """
server_name: kiosk
listen: 0.0.0.0:4222
http: 127.0.0.1:8222
max_payload: 2000
authorization {
  users: [
    { user: till, password: "open sesame", permissions: { publish: "sales.>", subscribe: "prices.>" } }
  ]
}
"""
