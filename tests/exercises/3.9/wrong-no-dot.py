# says: other subjects must still reach the hub, and diary
private = (
    alone
    + """
leafnodes {
  remotes: [ { url: "nats-leaf://127.0.0.1:7422", deny_exports: "diary", deny_imports: "diary" } ]
}
"""
)
