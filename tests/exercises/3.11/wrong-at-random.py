# says: messages from user-
seating = (
    config
    + """
mappings {
  "chat.*.*": [
    { destination: "work.0.{{wildcard(1)}}.{{wildcard(2)}}", weight: 34% }
    { destination: "work.1.{{wildcard(1)}}.{{wildcard(2)}}", weight: 33% }
    { destination: "work.2.{{wildcard(1)}}.{{wildcard(2)}}", weight: 33% }
  ]
}
"""
)
