# says: other subjects must still reach the hub
private = (
    alone
    + """
leafnodes {
  remotes: [ { url: "nats-leaf://127.0.0.1:7422", deny_exports: ">", deny_imports: ">" } ]
}
"""
)
