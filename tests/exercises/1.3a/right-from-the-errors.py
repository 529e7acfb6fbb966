slow_screen = {entry.client for entry in lab.clients.errors}.pop()
