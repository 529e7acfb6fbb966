# says: nobody listens at the address
leaf_conf = (
    alone
    + """
leafnodes {
  remotes: [ { url: "nats-leaf://127.0.0.1:7433" } ]
}
"""
)
await mine.reload.aio(leaf_conf)
