# says: anybody gets in
kiosk = """
server_name: kiosk
listen: 127.0.0.1:4222
http: 127.0.0.1:8222
max_payload: 2000
"""
