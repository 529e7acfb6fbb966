# says: the user robot
kiosk = """
server_name: kiosk
listen: 127.0.0.1:4222
http: 127.0.0.1:8222
max_payload: 2000
authorization {
  users: [
    { user: robot, password: "beep beep", permissions: { publish: "robot.>", subscribe: "jobs.>" } }
    { user: till, password: "open sesame", permissions: { publish: "sales.>", subscribe: "prices.>" } }
  ]
}
"""
