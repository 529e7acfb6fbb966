"""A record of which client sent and received what, and when; the matter of timelines, gaps and latencies."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, Self

from labkit.servers import nats_py
from labkit.servers.errors import LabError
from labkit.servers.events import Event
from labkit.views.readable import readable, short

if TYPE_CHECKING:
    import nats.aio.client
    import pandas as pd

MOST = 200_000  # entries a record keeps; about 60 MB
KEPT_BYTES = 64  # of each payload, to be read; matching uses all of it

What = Literal["sent", "received"]


class RecordError(LabError):
    """A record that cannot be made or drawn; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One message, sent or received by one client."""

    time_ns: int  # since 1970
    who: str
    what: What
    subject: str
    size: int  # bytes of payload
    payload: bytes  # its beginning
    same: int  # a hash of the whole payload
    subscription: int = 0  # which of the client's subscriptions got it
    server: str = ""  # the one that the client was connected to

    @property
    def time(self) -> datetime:
        """When, in UTC, to the microsecond."""
        return when(self.time_ns)


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened beside the messages: "breaks" it, "mends" it, or is a "note"."""

    time_ns: int
    text: str
    kind: Literal["breaks", "mends", "note"]


MENDS = {"start", "restart", "resume", "heal", "add"}


class Record:
    """What was sent and received by whom and when. Filled by `labkit.record`, a watch, or by hand.

    Keeps 200,000 entries; `left_out` counts those that came after.
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.left_out = 0
        self._notes: list[Mark] = []
        self._clients: list[nats.aio.client.Client] = []

    def sent(
        self, who: str, subject: str, payload: bytes = b"", at: datetime | None = None
    ) -> None:
        """Note that `who` sent a message, now or at the given time."""
        self._add(_ns(at), who, "sent", subject, payload)

    def received(
        self, who: str, subject: str, payload: bytes = b"", at: datetime | None = None
    ) -> None:
        """Note that a message reached `who`, now or at the given time."""
        self._add(_ns(at), who, "received", subject, payload)

    def mark(self, text: str, at: datetime | None = None) -> None:
        """Note something beside the messages, for example "the last worker joins"."""
        self._notes.append(Mark(_ns(at), text, "note"))

    def _add(
        self,
        at: int,
        who: str,
        what: What,
        subject: str,
        payload: bytes,
        subscription: int = 0,
        size: int | None = None,
        server: str = "",
    ) -> None:
        if len(self.entries) >= MOST:
            self.left_out += 1
            return
        payload = bytes(payload)  # nats-py also sends what changes later, a bytearray
        same, beginning = hash(payload), payload[:KEPT_BYTES]
        length = len(payload) if size is None else size
        self.entries.append(
            Entry(at, who, what, subject, length, beginning, same, subscription, server)
        )

    # --- reading it

    def who(self) -> list[str]:
        """The clients, in the order in which they first did something."""
        return list(dict.fromkeys(entry.who for entry in self._in_order()))

    def pairs(self) -> list[tuple[Entry, Entry]]:
        """Which sending belongs to which reception, in the order of reception.

        Subject and payload tell. Messages alike in both are taken in their order where as many
        were received as sent, and else left alone: give each message a number of its own.
        """
        sent: dict[tuple[str, int], list[Entry]] = defaultdict(list)
        received: dict[tuple[str, int, str, int], list[Entry]] = defaultdict(list)
        for entry in self._in_order():
            if entry.what == "sent":
                sent[entry.subject, entry.same].append(entry)
            else:
                key = (entry.subject, entry.same, entry.who, entry.subscription)
                received[key].append(entry)
        pairs = []
        for (subject, same, *_), entries in received.items():
            senders = sent.get((subject, same), [])
            if len(senders) in (1, len(entries)):  # of one that came again, the first counts
                pairs += list(zip(senders, entries, strict=False))
        return sorted(pairs, key=lambda pair: pair[1].time_ns)

    def marks(self, events: Iterable[Event] = ()) -> list[Mark]:
        """Own marks, and those of a lab's events that fall into the time of the record."""
        first, last = self.span()
        marks = self._notes + [_mark(event) for event in events]
        return sorted(
            (m for m in marks if first <= m.time_ns <= last or m.kind == "note"),
            key=lambda m: m.time_ns,
        )

    def span(self) -> tuple[int, int]:
        """First and last moment, nanoseconds since 1970. Raises RecordError for an empty record."""
        times = [entry.time_ns for entry in self.entries]
        if not times:
            raise RecordError(
                "the record is empty: nothing was sent or received by its clients while it ran"
            )
        return min(times), max(times)

    def frame(self) -> pd.DataFrame:
        """One row for each message sent or received, in time order.

        Columns: `time` (UTC), `who`, `what` ("sent" or "received"), `subject`, `size` (bytes),
        `payload` (its first 64 bytes, readable).
        """
        import pandas as pd

        rows = [
            (e.time, e.who, e.what, e.subject, e.size, readable(e.payload, e.size))
            for e in self._in_order()
        ]
        names = ["time", "who", "what", "subject", "size", "payload"]
        return pd.DataFrame(rows, columns=names).astype(
            {"time": "datetime64[ns, UTC]", "size": "int64"}
        )

    def _in_order(self) -> list[Entry]:
        return sorted(self.entries, key=lambda entry: entry.time_ns)

    def __repr__(self) -> str:
        sent = sum(entry.what == "sent" for entry in self.entries)
        more = f", {self.left_out:,} left out" if self.left_out else ""
        return (
            f"record: {sent:,} sent and {len(self.entries) - sent:,} received "
            f"by {short(', '.join(self.who()) or 'nobody')}{more}"
        )

    # --- listening to clients

    def _listen(self, client: nats.aio.client.Client, who: str) -> None:
        """Note what the client publishes and what reaches it, from now on."""
        publish = client.publish

        async def publishing(
            subject: str, payload: bytes = b"", *more: Any, **options: Any
        ) -> None:
            at = time.time_ns()
            await publish(subject, payload, *more, **options)
            server = nats_py.server_name(client)
            self._add(at, who, "sent", subject, payload, server=server)

        def heard(sid: int, subject: str, data: bytes) -> None:
            at, server = time.time_ns(), nats_py.server_name(client)
            self._add(at, who, "received", subject, data, sid, server=server)

        client.publish = publishing
        nats_py.overhear(client, heard)
        self._clients.append(client)

    def stop(self) -> None:
        """Listen no longer. Stopping again does no harm."""
        for client in self._clients:
            del client.publish  # the class's own is there again
            nats_py.overhear_no_more(client)
        self._clients.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def record(*clients: nats.aio.client.Client) -> Record:
    """Record what these clients send, and what reaches them, until the `with` block or `.stop()` ends it.

        with labkit.record(ada, bob) as record:
            await ada.publish("hello", b"1")
            await ada.flush(); await bob.flush()
        labkit.timeline(record)

    A client goes by the name it was connected with (`lab.connect(name="ada")`). A message counts
    as received when it has reached the client, before it is handed to a callback or to `next_msg`.
    Flush the clients before the block ends: what arrives later is not in it. Raises RecordError
    for what is no client, is closed, or is being recorded already.
    """
    names: dict[str, nats.aio.client.Client] = {}
    for client in clients:
        if not nats_py.is_client(client):
            raise RecordError(f"{client!r} is no nats-py client; give what lab.connect() returned")
        name = client.options.get("name") or f"client {len(names) + 1}"
        if client.is_closed:
            raise RecordError(f"client {name!r} is closed; connect it again, then record")
        if nats_py.is_overheard(client):
            raise RecordError(f"client {name!r} is in a record already; stop that one first")
        while name in names:
            name += "'"
        names[name] = client
    if not names:
        raise RecordError("there is no client to record; write labkit.record(nc)")
    made = Record()
    for name, client in names.items():
        made._listen(client, name)
    return made


def when(time_ns: int) -> datetime:
    """A moment in UTC, to the microsecond."""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)


def _ns(at: datetime | None) -> int:
    if at is None:
        return time.time_ns()
    if at.tzinfo is None:
        raise RecordError(f"{at} has no time zone; write datetime.now(UTC)")
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000


def _mark(event: Event) -> Mark:
    kind: Literal["breaks", "mends"] = "mends" if event.what in MENDS else "breaks"
    return Mark(_ns(event.time), str(event), kind)
