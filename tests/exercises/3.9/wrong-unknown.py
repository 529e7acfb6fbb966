# says: no server starts with this file
private = (
    alone
    + """
leafnodes {
  remotes: [ { url: "nats-leaf://127.0.0.1:7422", deny: "diary.>" } ]
}
"""
)
