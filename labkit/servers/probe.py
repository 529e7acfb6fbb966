"""Asking a server from plain code, without asyncio: one monitoring page, or one request over NATS."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass, field
from typing import Any

from labkit.servers.ports import LOOPBACK

INBOX = "_INBOX.labkit.probe"  # where clients that may ask at all may listen


def fetch(port: int, path: str, timeout: float) -> dict[str, Any]:
    """The JSON that the monitoring port answers for a path like "/varz".

    Raises OSError when nobody answers in time, ValueError when the answer is no JSON.
    """
    with socket.create_connection((LOOPBACK, port), timeout) as connection:
        return _get(connection, path)


def fetch_encrypted(port: int, path: str, timeout: float) -> dict[str, Any]:
    """As `fetch`, where the file says https. Who answers is not verified: it is on loopback."""
    import ssl

    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection((LOOPBACK, port), timeout) as plain,
        anybody.wrap_socket(plain) as connection,
    ):
        return _get(connection, path)


def _get(connection: socket.socket, path: str) -> dict[str, Any]:
    connection.sendall(f"GET {path} HTTP/1.0\r\nHost: {LOOPBACK}\r\n\r\n".encode())
    answer = bytearray()
    while chunk := connection.recv(65536):
        answer += chunk
    body = bytes(answer).partition(b"\r\n\r\n")[2]
    try:
        found: dict[str, Any] = json.loads(body)
    except ValueError:  # nats-server refuses an option in plain words
        raise ValueError(body.decode(errors="replace").strip() or "an empty answer") from None
    return found


def read_info(port: int, timeout: float = 1.0) -> dict[str, Any]:
    """The INFO that the server on this loopback port greets a client with; {} when it does not.

    Source: https://docs.nats.io/reference/reference-protocols/nats-protocol#info
    """
    try:
        with Conversation(port, timeout) as conversation:
            return conversation.info
    except OSError:
        return {}


@dataclass
class Conversation:
    """A client of a few lines: greets, asks, is gone. Raises OSError when the server does not follow."""

    port: int
    timeout: float
    info: dict[str, Any] = field(default_factory=dict)

    def __enter__(self) -> Conversation:
        self._socket = socket.create_connection((LOOPBACK, self.port), self.timeout)
        self._lines = self._socket.makefile("rb")
        try:
            greeting = self._lines.readline()
            if greeting.startswith(b"INFO "):
                self.info = json.loads(greeting[5:])
        except (OSError, ValueError):
            self.__exit__()
            raise OSError("no NATS server greets there") from None
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self._socket.close()

    def request(self, subject: str, payload: bytes, credentials: dict[str, str]) -> bytes:
        """The first answer to a request; b"" when nobody is there to answer.

        Raises PermissionError when the server refuses the login, or the login may not ask.
        """
        connect = {
            "verbose": False,
            "pedantic": False,
            "headers": True,
            "no_responders": True,
            "lang": "labkit",
            "version": "1",
            **credentials,
        }
        self._socket.sendall(
            f"CONNECT {json.dumps(connect)}\r\nSUB {INBOX} 1\r\n"
            f"PUB {subject} {INBOX} {len(payload)}\r\n".encode()
            + payload
            + b"\r\n"
        )
        for line in self._lines:
            if line.startswith(b"MSG "):
                return self._lines.read(int(line.split()[-1]))
            if line.startswith(b"-ERR") and b"Violation" in line:
                raise PermissionError(line.decode(errors="replace").strip())
            if line.startswith((b"-ERR", b"HMSG")):
                return b""
            if line.startswith(b"PING"):
                self._socket.sendall(b"PONG\r\n")
        return b""
