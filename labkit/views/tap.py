"""A client whose messages are handed over while they are read, with no queue between.

nats-py itself makes an object, a place in a queue and a step of a task of each message. A view
that does without takes little from the kernel in which the watched application runs; and when
messages come in quick succession it reads them some milliseconds' worth at a time, so that the
application's threads are not interrupted for each.

What watching took of one core, measured side by side at 50,000 messages a second, best of 6
rounds: 1.4 µs a message this way, 3.5 µs with an ordinary subscription whose messages are counted
many at a time, 4.2 µs one by one. A subscriber that only reads a number takes 3.5 µs. Watching
must cost less than the subscriber that is watched, and no ordinary subscription does.
Protocol: https://docs.nats.io/reference/reference-protocols/nats-protocol
"""

from __future__ import annotations

import re
from collections.abc import Callable

from labkit.servers.nats_py import CRLF, Message, UnqueuedClient, text_of

_MSG = re.compile(r"MSG (\S+) \d+ (?:(\S+) )?(\d+)\r\n")


def tap(heard: Callable[[list[Message]], None]) -> UnqueuedClient:
    """A client, not yet connected, that gives the messages of its one subscription to `heard`."""
    return UnqueuedClient(read, heard)


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
    return subject if subject.isascii() else text_of(subject.encode("latin-1"))
