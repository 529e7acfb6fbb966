# says: no server starts with this file
canary = (
    config
    + """
mappings {
  "checkout.*": [
    { destination: "v1.checkout.{{wildcard(1)}}" weight: 90% }
    { destination: "v2.checkout.{{wildcard(1)}}" weight: 10% }
  ]
}
"""
)
