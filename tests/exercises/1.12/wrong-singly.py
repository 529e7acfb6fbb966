# says: How many messages go into one sendall?
def publish_many(subject, payload, count):
    message = f"PUB {subject} {len(payload)}\r\n".encode() + payload + b"\r\n"
    with socket.create_connection((host, port), timeout=5) as sock:
        lines = sock.makefile("rb")
        lines.readline()
        sock.sendall(b'CONNECT {"verbose": false, "pedantic": false}\r\n')
        for _ in range(count):
            sock.sendall(message)
        sock.sendall(b"PING\r\n")
        lines.readline()
