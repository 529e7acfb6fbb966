leaf_conf = (
    alone
    + """
leafnodes {
  remotes: [ { url: "nats-leaf://127.0.0.1:7422", deny_imports: "$JS.>", deny_exports: "$JS.>" } ]
}
"""
)
await mine.reload.aio(leaf_conf)
