# says: while your function ran, a message arrived on wire.done too
def publish_many(subject, payload, count):
    message = f"PUB {subject} {len(payload)}\r\n".encode() + payload + b"\r\n"
    with socket.create_connection((host, port)) as sock, sock.makefile("rb") as lines:
        sock.sendall(b'CONNECT {"verbose": false, "pedantic": false}\r\n')
        for _ in range(count // 1000):
            sock.sendall(message * 1000)
        sock.sendall(message * (count % 1000))
        sock.sendall(b"PUB wire.done 0\r\n\r\nPING\r\n")
        while lines.readline() not in (b"PONG\r\n", b""):
            pass
