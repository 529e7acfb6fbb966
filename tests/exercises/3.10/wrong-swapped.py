# says: version 1 is meant to get most of them
canary = (
    config
    + """
mappings {
  "checkout.*": [
    { destination: "v1.checkout.{{wildcard(1)}}", weight: 10% }
    { destination: "v2.checkout.{{wildcard(1)}}", weight: 90% }
  ]
}
"""
)
