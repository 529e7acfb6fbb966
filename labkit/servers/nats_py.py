"""The private parts of nats-py that labkit uses, all of them here.

nats-py has no public way to see each message as it comes in, to take messages without a queue, or
to ask a client how it logged in. Private parts may change in any minor release, hence the ceiling
on nats-py in pyproject.toml; tests/servers/test_nats_py.py has a test for each of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import nats.aio.client
from nats.aio.client import DEFAULT_BUFFER_SIZE
from nats.protocol.parser import AWAITING_CONTROL_LINE, Parser

from labkit.servers.client import Client

CRLF = b"\r\n"
REST = 0.003  # seconds between readings when messages come in quick succession
QUICK = 10  # messages in one reading that are quick succession

# Subject, reply ("" where there is none), payload, headers.
Message = tuple[str, str, bytes, "dict[str, str] | None"]

# --- how a client logged in

KEY_FILES = ("user_credentials", "nkeys_seed", "nkeys_seed_str")
SIGNERS = ("user_jwt_cb", "signature_cb")  # what nats-py makes of a creds file, or was given


def login_of(client: nats.aio.client.Client) -> dict[str, Any]:
    """The client's nkey or JWT login as options of `nats.connect`; empty where it has none."""
    for key in KEY_FILES:
        if (value := getattr(client, f"_{key}", None)) is not None:
            return {key: value}
    found = {key: getattr(client, f"_{key}", None) for key in SIGNERS}
    return {key: value for key, value in found.items() if value is not None}


# --- each message as it comes in

Overheard = Callable[[int, str, bytes], None]  # the subscription's number, subject, payload


def is_client(thing: object) -> bool:
    """Whether this is a nats-py client, which `overhear` can listen to."""
    return hasattr(thing, "options") and hasattr(thing, "_process_msg")


def server_name(client: nats.aio.client.Client) -> str:
    """The name of the server that the client is connected to, or was last; "" before the first."""
    return str(client._server_info.get("server_name", ""))


def overhear(client: nats.aio.client.Client, heard: Overheard) -> None:
    """Call `heard` with each message that reaches the client, before the client hands it over."""
    # Where nats-py 2 takes in each message, whichever way it is then handed over.
    take_in = client._process_msg

    async def taking_in(
        sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        heard(sid, subject.decode(), bytes(data))
        await take_in(sid, subject, reply, data, headers)

    client._process_msg = taking_in


def is_overheard(client: nats.aio.client.Client) -> bool:
    """Whether somebody listens to this client already."""
    return "_process_msg" in vars(client)


def overhear_no_more(client: nats.aio.client.Client) -> None:
    """Undo `overhear`."""
    del client._process_msg  # the class's own is there again


# --- messages without a queue

Read = Callable[[bytes], tuple[list[Message], bytes]]


class UnqueuedClient(Client):
    """A client for one subscription: its messages are given to `heard`, some at a time, in order.

    `read` takes whole messages without headers off the beginning of what the server sent, and
    returns them and the rest; nats-py's parser reads what is left.
    """

    def __init__(self, read: Read, heard: Callable[[list[Message]], None]) -> None:
        super().__init__()
        self.heard = heard
        self._ps = _Reader(self, read)

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        """What nats-py's parser calls with a message; the name is nats-py's."""
        parsed = await self._process_headers(headers) if headers else None
        self.heard([(text_of(subject), text_of(reply), data, parsed)])

    async def feed(self, data: bytes) -> None:
        """Take in bytes as if the server had sent them."""
        await self._ps.parse(data)

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
    """nats-py's parser, which comes after `read`."""

    nc: UnqueuedClient
    buf: bytearray

    def __init__(self, client: UnqueuedClient, read: Read) -> None:
        super().__init__(client)
        self.read = read

    async def parse(self, data: bytes = b"") -> None:
        behind = len(data) >= DEFAULT_BUFFER_SIZE  # there is more to read already
        if self.state != AWAITING_CONTROL_LINE:  # nats-py's parser is within a message
            missing = self.needed + len(CRLF) - len(self.buf)
            await super().parse(data[:missing])
            data = data[missing:]
            if self.state != AWAITING_CONTROL_LINE:
                return
        found, rest = self.read(bytes(self.buf) + data)
        if found:
            self.nc.heard(found)
        self.buf = bytearray(rest)
        await super().parse()
        if len(found) >= QUICK and not behind:
            await self.nc.rest()


def text_of(name: bytes) -> str:
    """A subject as text; what is not UTF-8 is spelled out."""
    return name.decode("utf-8", "backslashreplace")
