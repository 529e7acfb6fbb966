# says: is \r\n after that line and after the payload
def publish_many(subject, payload, count):
    message = f"PUB {subject} {len(payload)}\r\n".encode() + payload
    with socket.create_connection((host, port), timeout=5) as sock:
        lines = sock.makefile("rb")
        lines.readline()  # INFO
        sock.sendall(b'CONNECT {"verbose": false, "pedantic": false}\r\n')
        sock.sendall(message * count + b"PING\r\n")
        while lines.readline() not in (b"PONG\r\n", b""):
            pass
