# says: it must be work.<number>.<room>.<user>
seating = (
    config
    + """
mappings {
  "chat.*.*": "part.{{partition(3,2)}}.{{wildcard(1)}}.{{wildcard(2)}}"
}
"""
)
