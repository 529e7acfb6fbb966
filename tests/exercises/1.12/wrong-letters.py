# says: The server closed the connection: Protocol Violation
def publish_many(subject, payload, count):
    message = f"PUB {subject} {len(payload.decode())}\r\n".encode() + payload + b"\r\n"
    with socket.create_connection((host, port), timeout=5) as sock:
        lines = sock.makefile("rb")
        lines.readline()
        sock.sendall(b'CONNECT {"verbose": false}\r\n' + message * count + b"PING\r\n")
        lines.readline()
