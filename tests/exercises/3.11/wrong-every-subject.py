# says: other subjects must stay as they are
seating = (
    config
    + """
mappings {
  "*.*.*": "work.{{partition(3,3)}}.{{wildcard(2)}}.{{wildcard(3)}}"
}
"""
)
