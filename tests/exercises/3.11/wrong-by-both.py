# says: messages from user-
seating = (
    config
    + """
mappings {
  "chat.*.*": "work.{{partition(3,1,2)}}.{{wildcard(1)}}.{{wildcard(2)}}"
}
"""
)
