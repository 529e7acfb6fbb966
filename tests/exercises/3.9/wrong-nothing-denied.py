# says: somebody at the hub hears
private = (
    alone
    + """
leafnodes {
  remotes: [ { url: "nats-leaf://127.0.0.1:7422" } ]
}
"""
)
