# says: went to v2, and a tenth is about 300
canary = (
    config
    + """
mappings {
  "checkout.*": [
    { destination: "v1.checkout.{{wildcard(1)}}", weight: 50% }
    { destination: "v2.checkout.{{wildcard(1)}}", weight: 50% }
  ]
}
"""
)
