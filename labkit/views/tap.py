"""A nats-py client whose messages are handed over while they are read, with no queue between.

nats-py itself makes an object, a place in a queue and a step of a task of each message. A view
that does without takes little from the kernel in which the watched application runs; and when
messages come in quick succession it reads them some milliseconds' worth at a time, so that the
application's threads are not interrupted for each.
Protocol: https://docs.nats.io/reference/reference-protocols/nats-protocol
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

from nats.aio.client import DEFAULT_BUFFER_SIZE
from nats.protocol.parser import AWAITING_CONTROL_LINE, Parser

from labkit.servers.client import Client

CRLF = b"\r\n"
_MSG = re.compile(r"MSG (\S+) \d+ (?:(\S+) )?(\d+)\r\n")
REST = 0.003  # seconds between readings when messages come in quick succession
QUICK = 10  # messages in one reading that are quick succession

# Subject, reply ("" where there is none), payload, headers.
Message = tuple[str, str, bytes, "dict[str, str] | None"]


class Tap(Client):
    """A client for one subscription: its messages are given to `heard`, some at a time, in order."""

    def __init__(self, heard: Callable[[list[Message]], None]) -> None:
        super().__init__()
        self.heard = heard
        self._ps = _Reader(self)

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        """What nats-py's parser calls with a message; the name is nats-py's."""
        parsed = await self._process_headers(headers) if headers else None
        self.heard([(_text(subject), _text(reply), data, parsed)])

    async def rest(self) -> None:
        """Leave the processor to others; what comes meanwhile waits in the system's buffers."""
        writer = getattr(self._transport, "_io_writer", None)  # a websocket has none
        if writer is None:
            return
        writer.transport.pause_reading()
        try:
            await asyncio.sleep(REST)
        finally:
            writer.transport.resume_reading()


class _Reader(Parser):  # type: ignore[misc]
    """nats-py's parser for all but whole messages without headers, which are read here."""

    nc: Tap
    buf: bytearray

    async def parse(self, data: bytes = b"") -> None:
        behind = len(data) >= DEFAULT_BUFFER_SIZE  # there is more to read already
        if self.state != AWAITING_CONTROL_LINE:  # nats-py's parser is within a message
            missing = self.needed + len(CRLF) - len(self.buf)
            await super().parse(data[:missing])
            data = data[missing:]
            if self.state != AWAITING_CONTROL_LINE:
                return
        found, rest = read(bytes(self.buf) + data)
        if found:
            self.nc.heard(found)
        self.buf = bytearray(rest)
        await super().parse()
        if len(found) >= QUICK and not behind:
            await self.nc.rest()


def read(data: bytes) -> tuple[list[Message], bytes]:
    """The whole messages without headers with which the data begins, and what follows them."""
    found: list[Message] = []
    text, at = data.decode("latin-1"), 0  # a character a byte
    match, add, room = _MSG.match, found.append, len(data) - len(CRLF)
    while (line := match(text, at)) is not None:
        subject, reply, size = line.groups("")
        begin = line.end()
        end = begin + int(size)
        if end > room:
            break
        add((_name(subject), _name(reply), data[begin:end], None))
        at = end + len(CRLF)
    return found, data[at:]


def _name(subject: str) -> str:
    return subject if subject.isascii() else _text(subject.encode("latin-1"))


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
