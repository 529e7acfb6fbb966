kiosk = """
server_name: kiosk
listen: "localhost:4222"
http: 8222
max_payload: 2000
authorization: {
  default_permissions: { publish: "sales.>", subscribe: "prices.>" }
  users: [ {user: till, pass: "open sesame"} ]
}
"""
