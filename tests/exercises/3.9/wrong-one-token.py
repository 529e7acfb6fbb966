# says: deny_exports, for every subject that begins with diary
private = (
    alone
    + """
leafnodes {
  remotes: [ { url: "nats-leaf://127.0.0.1:7422", deny_exports: "diary.*", deny_imports: "diary.*" } ]
}
"""
)
