private = """
server_name: home
listen: 127.0.0.1:4300
http: 127.0.0.1:8300
accounts {
  HOME { users: [ { user: me, password: me } ] }
}
no_auth_user: me
leafnodes {
  remotes = [
    {
      urls = ["nats-leaf://127.0.0.1:7422"]
      account = HOME
      deny_exports = "diary.>"
      deny_imports = "diary.>"
    }
  ]
}
"""
