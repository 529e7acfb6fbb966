# says: into your house: deny_imports
private = (
    alone
    + """
leafnodes {
  remotes: [ { url: "nats-leaf://127.0.0.1:7422", deny_exports: "diary.>" } ]
}
"""
)
