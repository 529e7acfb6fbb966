# says: a message goes on as v
canary = (
    config
    + """
mappings {
  "checkout.*": [
    { destination: "v1.checkout", weight: 90% }
    { destination: "v2.checkout", weight: 10% }
  ]
}
"""
)
