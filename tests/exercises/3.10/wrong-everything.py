# says: other subjects must stay as they are
canary = (
    config
    + """
mappings {
  "*.*": [
    { destination: "v1.{{wildcard(1)}}.{{wildcard(2)}}", weight: 90% }
    { destination: "v2.{{wildcard(1)}}.{{wildcard(2)}}", weight: 10% }
  ]
}
"""
)
