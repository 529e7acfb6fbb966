# says: there are three workers
seating = (
    config
    + """
mappings {
  "chat.*.*": "work.0.{{wildcard(1)}}.{{wildcard(2)}}"
}
"""
)
