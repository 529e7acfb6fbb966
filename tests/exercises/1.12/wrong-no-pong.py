# says: when your function returned. End with PING
sockets = []  # kept, so that none is closed before the server has read it


def publish_many(subject, payload, count):
    message = f"PUB {subject} {len(payload)}\r\n".encode() + payload + b"\r\n"
    sock = socket.create_connection((host, port), timeout=5)
    sockets.append(sock)
    sock.sendall(b'CONNECT {"verbose": false, "pedantic": false}\r\n')
    sock.sendall(message * count)
