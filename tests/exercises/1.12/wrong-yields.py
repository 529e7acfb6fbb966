# says: A function with `yield` in it doesn't run when it is called
def publish_many(subject, payload, count):
    one = f"PUB {subject} {len(payload)}\r\n".encode() + payload + b"\r\n"
    with socket.create_connection((host, port)) as s:
        f = s.makefile("rb")
        f.readline()
        s.sendall(b'CONNECT {"verbose":false,"pedantic":false}\r\n' + one * count + b"PING\r\n")
        yield f.readline()
