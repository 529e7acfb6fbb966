# says: a message goes on as
canary = (
    config
    + """
mappings {
  "checkout.*": [
    { destination: "v1.checkout.no", weight: 90% }
    { destination: "v2.checkout.no", weight: 10% }
  ]
}
"""
)
