# says: are the weights 100 % together?
canary = (
    config
    + """
mappings {
  "checkout.*": [
    { destination: "v1.checkout.{{wildcard(1)}}", weight: 80% }
    { destination: "v2.checkout.{{wildcard(1)}}", weight: 10% }
  ]
}
"""
)
