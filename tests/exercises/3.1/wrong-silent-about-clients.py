# says: every machine in the network could connect
kiosk = """
server_name: kiosk
http: 127.0.0.1:8222
max_payload: 2000
authorization {
  users: [
    { user: till, password: "open sesame", permissions: { publish: "sales.>", subscribe: "prices.>" } }
  ]
}
"""
