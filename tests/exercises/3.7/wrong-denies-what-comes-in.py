# says: your clients don't get what the hub's clients publish
leaf_conf = (
    alone
    + """
leafnodes {
  remotes: [ { url: "nats-leaf://127.0.0.1:7422", deny_imports: ">" } ]
}
"""
)
await mine.reload.aio(leaf_conf)
