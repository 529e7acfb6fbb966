leaf_conf = """
server_name = "mine"
port = 4300
host = localhost
http = "127.0.0.1:8300"
leaf { remotes [ { url = nats-leaf://127.0.0.1:7422 } ] }
"""
await lab.remove.aio("mine")
mine = await lab.add.aio("mine", leaf_conf)
