# says: arrived: 1,000. Is the last, smaller batch missing
def publish_many(subject, payload, count):
    message = f"PUB {subject} {len(payload)}\r\n".encode() + payload + b"\r\n"
    with socket.create_connection((host, port), timeout=5) as sock:
        lines = sock.makefile("rb")
        lines.readline()
        sock.sendall(b'CONNECT {"verbose": false, "pedantic": false}\r\n')
        for _ in range(count // 1000):
            sock.sendall(message * 1000)
        sock.sendall(b"PING\r\n")
        lines.readline()
