# says: Are they sent, and on the subject that your function is given?
def publish_many(subject, payload, count):
    message = f"PUB bench {len(payload)}\r\n".encode() + payload + b"\r\n"
    with socket.create_connection((host, port), timeout=5) as sock:
        lines = sock.makefile("rb")
        lines.readline()
        sock.sendall(b'CONNECT {"verbose": false}\r\n' + message * count + b"PING\r\n")
        lines.readline()
