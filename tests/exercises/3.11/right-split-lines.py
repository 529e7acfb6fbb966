seating = (
    config
    + """
mappings = {
  "chat.*.*" = [
    { destination = "work.{{ partition(3, 2) }}.{{ wildcard(1) }}.{{ wildcard(2) }}", weight = 100 }
  ]
}
"""
)
