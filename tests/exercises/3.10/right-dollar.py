canary = (
    config
    + """
mappings {
  "checkout.*": [
    { destination: "v1.checkout.$1", weight: 90% }
    { destination: "v2.checkout.$1", weight: 10% }
  ]
}
"""
)
