canary = (
    config
    + """
mappings = {
  "checkout.*" = [
    { destination = "v2.checkout.{{wildcard(1)}}", weight = 10% },
    { destination = "v1.checkout.{{wildcard(1)}}", weight = 90% }
  ]
}
"""
)
