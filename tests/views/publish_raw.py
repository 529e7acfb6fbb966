"""Publishes on a raw socket, batched, at a rate: python publish_raw.py PORT RATE SECONDS SUBJECT.

Each payload is "<number> <seconds since 1970>". Prints how many were sent, once the server has
taken them all.
"""

from __future__ import annotations

import socket
import sys
import time

port, rate, seconds, subject = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]


def await_pong(connection: socket.socket) -> None:
    connection.sendall(b"PING\r\n")
    while b"PONG" not in connection.recv(4096):
        pass


with socket.create_connection(("127.0.0.1", port)) as connection:
    connection.sendall(b'CONNECT {"verbose": false, "pedantic": false}\r\n')
    await_pong(connection)
    sent, total, began = 0, int(rate * seconds), time.time()
    while sent < total:
        due = min(int((time.time() - began) * rate), total)
        batch = bytearray()
        for number in range(sent, due):
            payload = b"%d %.6f" % (number, time.time())
            name = b"%s.%d" % (subject.encode(), number % 10)
            batch += b"PUB %s %d\r\n%s\r\n" % (name, len(payload), payload)
        connection.sendall(batch)
        sent = due
        time.sleep(0.002)  # a rate, not a wait
    await_pong(connection)
    print(sent)
