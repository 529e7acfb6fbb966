# says: refuses it ("attempted to connect to wrong port")
leaf_conf = (
    alone
    + """
leafnodes {
  remotes: [ { url: "nats-leaf://127.0.0.1:4222" } ]
}
"""
)
await mine.reload.aio(leaf_conf)
