# says: this gets in too: a client without a login
kiosk = """
server_name: kiosk
listen: 127.0.0.1:4222
http: 127.0.0.1:8222
max_payload: 2000
accounts {
  SHOP {
    users: [
      { user: guest, password: guest }
      { user: till, password: "open sesame", permissions: { publish: "sales.>", subscribe: "prices.>" } }
    ]
  }
}
no_auth_user: guest
"""
