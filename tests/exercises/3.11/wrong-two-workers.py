# says: there are three workers
seating = (
    config
    + """
mappings {
  "chat.*.*": "work.{{partition(2,2)}}.{{wildcard(1)}}.{{wildcard(2)}}"
}
"""
)
