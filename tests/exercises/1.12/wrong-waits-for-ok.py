# says: publish_many raised TimeoutError
def publish_many(subject, payload, count):
    message = f"PUB {subject} {len(payload)}\r\n".encode() + payload + b"\r\n"
    with socket.create_connection((host, port), timeout=1) as sock:
        lines = sock.makefile("rb")
        lines.readline()
        sock.sendall(b'CONNECT {"verbose": false}\r\n' + message * count)
        while lines.readline() != b"+OK\r\n":
            pass
