leaf_conf = (
    alone
    + """
leafnodes {
  remotes: [ { urls = ["nats://127.0.0.1:7422"] } ]
}
"""
)
await mine.reload.aio(leaf_conf)
