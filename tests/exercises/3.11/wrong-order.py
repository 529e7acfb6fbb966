# says: it must be work.<number>.<room>.<user>
seating = (
    config
    + """
mappings {
  "chat.*.*": "work.{{partition(3,2)}}.{{wildcard(2)}}.{{wildcard(1)}}"
}
"""
)
