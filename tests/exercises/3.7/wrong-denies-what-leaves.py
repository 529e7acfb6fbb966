# says: the hub doesn't get what your clients publish
leaf_conf = (
    alone
    + """
leafnodes {
  remotes: [ { url: "nats-leaf://127.0.0.1:7422", deny_exports: ">" } ]
}
"""
)
await mine.reload.aio(leaf_conf)
