from itertools import islice, repeat


def publish_many(subject, payload, count):
    message = b"".join([b"PUB ", subject.encode(), b" %d\r\n" % len(payload), payload, b"\r\n"])
    with socket.create_connection((host, port)) as sock, sock.makefile("rwb", 1 << 20) as stream:
        stream.write(b'CONNECT {"verbose": false, "pedantic": false}\r\n')
        messages = repeat(message, count)
        while batch := list(islice(messages, 300)):
            stream.write(b"".join(batch))
        stream.write(b"PING\r\n")
        stream.flush()
        while stream.readline() not in (b"PONG\r\n", b""):
            pass
