seating = (
    config
    + """
mappings {
  "chat.*.*": "work.{{partition(3,2)}}.$1.$2"
}
"""
)
