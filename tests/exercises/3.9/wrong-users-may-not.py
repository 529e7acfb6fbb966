# says: your own clients must still hear your diary
private = (
    alone
    + """
authorization {
  users: [ { user: me, password: me, permissions: { publish: { deny: "diary.>" } } } ]
}
no_auth_user: me
leafnodes {
  remotes: [ { url: "nats-leaf://127.0.0.1:7422", deny_exports: "diary.>", deny_imports: "diary.>" } ]
}
"""
)
