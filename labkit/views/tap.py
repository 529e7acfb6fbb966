"""A nats-py client whose messages are handed over while they are read, with no queue between.

nats-py itself makes an object, a place in a queue and a step of a task of each message. A view
that does without takes little from the kernel in which the watched application runs.
Protocol: https://docs.nats.io/reference/reference-protocols/nats-protocol
"""

from __future__ import annotations

import re
from collections.abc import Callable

from nats.protocol.parser import AWAITING_CONTROL_LINE, Parser

from labkit.servers.client import Client

CRLF = b"\r\n"
_MSG = re.compile(rb"MSG (\S+) \d+ (?:(\S+) )?(\d+)\r\n")

# Subject, reply ("" where there is none), payload, headers.
OnMessage = Callable[[str, str, bytes, "dict[str, str] | None"], None]


class Tap(Client):
    """A client for one subscription: each of its messages is given to `heard`, in order."""

    def __init__(self, heard: OnMessage) -> None:
        super().__init__()
        self.heard = heard
        self._ps = _Reader(self)

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        """What nats-py's parser calls with a message; the name is nats-py's."""
        parsed = await self._process_headers(headers) if headers else None
        self.heard(_text(subject), _text(reply), data, parsed)


class _Reader(Parser):  # type: ignore[misc]
    """nats-py's parser for all but whole messages without headers, which are read here."""

    nc: Tap
    buf: bytearray

    async def parse(self, data: bytes = b"") -> None:
        if self.state != AWAITING_CONTROL_LINE:  # nats-py's parser is within a message
            missing = self.needed + len(CRLF) - len(self.buf)
            await super().parse(data[:missing])
            data = data[missing:]
            if self.state != AWAITING_CONTROL_LINE:
                return
        read = bytes(self.buf) + data
        heard, at = self.nc.heard, 0
        while (line := _MSG.match(read, at)) is not None:
            subject, reply, size = line.groups()
            begin = line.end()
            end = begin + int(size)
            if end + len(CRLF) > len(read):
                break
            heard(_text(subject), _text(reply) if reply else "", read[begin:end], None)
            at = end + len(CRLF)
        self.buf = bytearray(read[at:])
        await super().parse()


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
