"""`watch` and `watch_rates`: the messages on a subject, as a table of the latest and as rates.

Watching takes less of the processor than receiving with nats-py: `tests/views/test_live.py`.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Self

from labkit.servers import background
from labkit.views.live import REDRAW, Live
from labkit.views.readable import kind_of, many, readable, short
from labkit.views.record import Record, when
from labkit.views.second_connection import Source, ViewError
from labkit.views.table import Cell, Picture, Table

if TYPE_CHECKING:
    import nats.aio.client
    import pandas as pd
    from nats.aio.msg import Msg

    from labkit.servers.nats_py import Message

KEPT = 1000  # messages
KEPT_BYTES = 1024  # of each payload, and of each header
MOST_SUBJECTS = 500  # counted one by one; messages on more than these are counted together
ROWS = 12
WINDOW = 30.0  # seconds of rates
OTHERS = "(other subjects)"
INBOX = "_INBOX."

Sender = Callable[["Msg"], "str | None"]


class Heard(NamedTuple):
    """One message as it reached the view. `payload` is its beginning, `size` its length in bytes."""

    number: int
    time_ns: int  # since 1970, when it arrived here
    subject: str
    sender: str
    reply: str
    headers: dict[str, str] | None
    size: int
    payload: bytes


# A Heard before somebody asks for it: a plain tuple is made in a third of the time.
Fields = tuple[int, int, str, str, str, "dict[str, str] | None", int, bytes]


class _Traffic(Live):
    """A subscription of a view's own, that counts messages and bytes for each subject."""

    def __init__(self, source: Source, subject: str, what: str) -> None:
        super().__init__(source, f"{what} {subject}")
        self.subject = subject
        self.count = 0  # messages heard
        self.bytes = 0  # of their payloads
        self._subjects: dict[str, list[int]] = {}  # messages and bytes

    def _new_client(self) -> nats.aio.client.Client:
        from labkit.views.tap import tap

        return tap(self._heard)

    async def _begin(self, client: nats.aio.client.Client) -> None:
        import nats.errors

        try:
            self._subscription = await client.subscribe(self.subject)
            await client.flush()  # the server has answered: a refusal is here by now
        except (nats.errors.Error, TypeError, AttributeError) as error:
            raise ViewError(
                f"{self.subject!r} cannot be watched ({error}): a subject is tokens with dots "
                "between them and no spaces; `*` stands for one token, `>` at the end for the rest"
            ) from None

    def _heard(self, messages: list[Message]) -> None:
        for subject, _, data, _ in messages:
            counted = self._subjects.get(subject)
            if counted is None:
                name = subject if len(self._subjects) < MOST_SUBJECTS else OTHERS
                counted = self._subjects.setdefault(name, [0, 0])
            counted[0] += 1
            counted[1] += len(data)
            self.bytes += len(data)
        self.count += len(messages)

    async def _take_the_rest(self) -> None:
        """Whatever the server has routed here is counted when the drain returns."""
        await self._subscription.drain()

    async def heard(self, messages: int, timeout: float = 5.0) -> Self:
        """Wait until this many messages have been heard, and return the view, which shows itself.

        Raises NotInTimeError, with the number that came, after `timeout` seconds.
        """
        from labkit.servers.errors import NotInTimeError

        what = f"{many(messages, 'message')} on {self.subject!r}"
        try:
            return await self._until(lambda: self.count >= messages, timeout, what)
        except NotInTimeError as error:
            raise NotInTimeError(f"{error}: {self.count:,} came") from None

    def subjects(self) -> pd.DataFrame:
        """A row a subject, the busiest first: messages, and bytes of payload, since the view began.

        More than 500 subjects are counted together as "(other subjects)".
        """
        import pandas as pd

        rows = background.ask(self._by_subject)
        return pd.DataFrame(rows, columns=["subject", "messages", "bytes"]).set_index("subject")

    def _by_subject(self) -> list[tuple[str, int, int]]:
        rows = [(name, counted[0], counted[1]) for name, counted in self._subjects.items()]
        return sorted(rows, key=lambda row: (row[0] == OTHERS, -row[1], row[0]))

    def _heading(self) -> str:
        subjects = len(self._subjects) - (OTHERS in self._subjects)
        more = " or more" if OTHERS in self._subjects else ""
        return (
            f"{self.subject} · {many(self.count, 'message')}, {many(self.bytes, 'byte')} "
            f"on {many(subjects, 'subject')}{more}{', stopped' if self.stopped else ''}"
        )


class Watch(_Traffic):
    """The traffic on a subject: the latest messages, and counts for each subject. See `watch`."""

    def __init__(self, source: Source, subject: str, sender: str | Sender) -> None:
        super().__init__(source, subject, "watch")
        self._sender = sender
        self._kept: deque[Fields] = deque(maxlen=KEPT)

    def _heard(self, messages: list[Message]) -> None:
        super()._heard(messages)
        now, latest = time.time_ns(), messages[-KEPT:]
        for number, message in enumerate(latest, self.count - len(latest) + 1):
            subject, reply, data, headers = message
            sender = self._sender_of(message)
            kept = headers and {k: v[:KEPT_BYTES] for k, v in headers.items()}
            begin = data[:KEPT_BYTES]
            self._kept.append((number, now, subject, sender, reply, kept, len(data), begin))

    def _sender_of(self, said: Message) -> str:
        if isinstance(self._sender, str):
            headers = said[3]
            return headers.get(self._sender, "")[:KEPT_BYTES] if headers else ""
        from nats.aio.msg import Msg

        try:
            message = Msg(self._client, *said)
            return str(self._sender(message) or "")[:KEPT_BYTES]
        except Exception as error:  # noqa: BLE001 - the caller's own; it must not end the reading
            self._tell(f"`sender` failed with {type(error).__name__}: {error}")
            return ""

    @property
    def messages(self) -> list[Heard]:
        """The latest messages, up to 1,000, oldest first."""
        return background.ask(self._latest)

    def _latest(self, most: int = KEPT) -> list[Heard]:
        return [Heard._make(fields) for fields in list(self._kept)[-most:]]

    @property
    def record(self) -> Record:
        """The latest messages as a Record for `timeline` and `gaps`, received by "watch"."""
        record = Record()
        for message in self.messages:
            record._add(
                message.time_ns,
                "watch",
                "received",
                message.subject,
                message.payload,
                size=message.size,
            )
        return record

    def frame(self) -> pd.DataFrame:
        """The latest messages, up to 1,000, oldest first, one a row.

        Indexed by their number since the view began. Columns: `time` (UTC, of arrival here),
        `subject`, `sender` and `reply` ("" where there is none), `headers`, `size` (bytes), `kind`
        (text, JSON or hex) and `payload` (the first 1,024 bytes, readable).
        """
        import pandas as pd

        rows = [
            (
                message.number,
                when(message.time_ns),
                *message[2:7],
                kind_of(message.payload, message.size),
                readable(message.payload, message.size),
            )
            for message in self.messages
        ]
        names = ["number", "time", "subject", "sender", "reply", "headers", "size"]
        frame = pd.DataFrame(rows, columns=[*names, "kind", "payload"]).set_index("number")
        return frame.astype({"time": "datetime64[ns, UTC]", "size": "int64"})

    def table(self) -> Table:
        """The latest 12 messages, without their times."""
        return self._table_of(self._latest(ROWS))

    def _moving_table(self) -> Table:
        latest, now = self._latest(ROWS), time.time_ns()
        table = self._table_of(latest)
        ages = [_age(now - message.time_ns) for message in latest]
        rows = [(*row, age) for row, age in zip(table.rows, ages, strict=True)]
        return Table(table.heading, (*table.columns, "age"), rows, table.note)

    def _table_of(self, latest: list[Heard]) -> Table:
        rows: list[tuple[Cell, ...]] = [
            (
                message.number,
                short(message.subject),
                short(message.sender),
                "_INBOX.…" if message.reply.startswith(INBOX) else short(message.reply),
                message.size,
                kind_of(message.payload, message.size),
                short(readable(message.payload, message.size)),
            )
            for message in latest
        ]
        notes = self._notes()
        if self.count > len(latest):
            earlier = many(self.count - len(latest), "earlier message")
            notes.insert(0, f"not shown: {earlier}")
        columns = ("#", "subject", "sender", "reply", "bytes", "as", "payload")
        table = Table(self._heading(), columns, rows, "; ".join(notes))
        return table.without_empty("sender", "reply")


class Rates(_Traffic):
    """Messages a second for each subject, over the last 30 s. See `watch_rates`."""

    def __init__(self, source: Source, subject: str) -> None:
        super().__init__(source, subject, "rates")
        # Totals at moments, the first of them the beginning.
        self._samples: deque[tuple[int, dict[str, int]]] = deque(
            [(time.time_ns(), {})], maxlen=round(WINDOW / REDRAW) + 1
        )

    async def _tick(self) -> None:
        totals = {name: counted[0] for name, counted in self._subjects.items()}
        self._samples.append((time.time_ns(), totals))

    async def _take_the_rest(self) -> None:
        await super()._take_the_rest()
        await self._tick()

    def frame(self) -> pd.DataFrame:
        """Messages a second, a column a subject, a row about every 0.25 s of the last 30 s.

        Indexed by `time` (UTC), the end of the quarter second.
        """
        import pandas as pd

        samples = background.ask(lambda: list(self._samples))
        names = sorted(samples[-1][1])
        rows = [[_rate(a, b, name) for name in names] for a, b in itertools.pairwise(samples)]
        index = pd.DatetimeIndex([when(at) for at, _ in samples[1:]], name="time", tz="UTC")
        return pd.DataFrame(rows, index=index, columns=names, dtype="float64")

    def table(self) -> Table:
        """The busiest 12 subjects with their totals."""
        rows: list[tuple[Cell, ...]] = [*self._by_subject()[:ROWS]]
        return Table(self._heading(), ("subject", "messages", "bytes"), rows, self._note())

    def _moving_table(self) -> Table:
        drawing, lines = self._lines()
        rows: list[tuple[Cell, ...]] = [
            (name, line, now, messages) for name, line, now, messages, _ in lines
        ]
        columns = ("subject", drawing, "now", "messages")
        return Table(self._heading(), columns, rows, self._note())

    def _lasting_table(self) -> Table:
        drawing, lines = self._lines()
        rows: list[tuple[Cell, ...]] = [
            (name, line, messages, size) for name, line, _, messages, size in lines
        ]
        columns = ("subject", drawing, "messages", "bytes")
        return Table(self._heading(), columns, rows, self._note())

    def _lines(self) -> tuple[str, list[tuple[str, Picture, int, int, int]]]:
        """What the drawing shows, and for the busiest 12 subjects: it, the rate now, messages, bytes."""
        samples = list(self._samples)
        subjects = self._by_subject()[:ROWS]
        rates = [[_rate(a, b, n) for a, b in itertools.pairwise(samples)] for n, *_ in subjects]
        most = max((rate for line in rates for rate in line), default=0.0)
        lines = [
            (short(name), sparkline(line, most), round(line[-1]) if line else 0, messages, size)
            for (name, messages, size), line in zip(subjects, rates, strict=True)
        ]
        return f"last {WINDOW:.0f} s, up to {most:,.0f} msg/s", lines

    def _note(self) -> str:
        hidden = len(self._subjects) - ROWS
        more = [f"not shown: {many(hidden, 'quieter subject')}"] if hidden > 0 else []
        return "; ".join([*more, *self._notes()])


def watch(source: Source, subject: str = ">", *, sender: str | Sender = "From") -> Watch:
    """Show the traffic on a subject as a table that moves in its own output while other cells run.

    `source` is a client or a lab; the view connects once more as that client did, so that the
    client is neither slowed nor sees the view's messages. NATS does not tell a receiver who sent
    a message: `sender` is the name of a header by which senders name themselves, or a function
    of the message, for example `lambda m: m.subject.split(".")[-1]`.

    `view.stop()` ends it and shows the last table; it also ends when the client is closed, the
    lab stopped, or with the kernel. `await view.heard(5)` waits for messages. `view.frame()` is
    the record as a DataFrame, `view.subjects()` counts for each subject. The latest 1,000 messages
    are kept. Raises ViewError for a subject that is none, or that the client may not read, and
    for a client that is closed.
    """
    return Watch(source, subject, sender).open()


def watch_rates(source: Source, subject: str = ">") -> Rates:
    """Show messages a second for each subject, as a small plot of the last 30 s that moves.

    Connects, stops and waits as `watch` does; `view.frame()` gives the rates as a DataFrame.
    """
    return Rates(source, subject).open()


def sparkline(
    values: list[float],
    most: float,
    width: int = 300,
    height: int = 24,
    room: int = round(WINDOW / REDRAW),
) -> Picture:
    """A small plot from 0 to `most` in the page's text colour; the newest of `room` values is at the right."""
    step = width / max(room - 1, 1)
    start, low = width - step * (len(values) - 1), height - 2
    points = " ".join(
        f"{start + step * n:.1f},{low - (low - 2) * (value / most if most else 0):.1f}"
        for n, value in enumerate(values)
    )
    area = f"{start:.1f},{low} {points} {width},{low}"
    svg = (
        f"<svg width='{width}' height='{height}' viewBox='0 0 {width} {height}' role='img'>"
        f"<polygon points='{area}' fill='currentColor' fill-opacity='.15'/>"
        f"<polyline points='{points}' fill='none' stroke='currentColor' stroke-width='1.3'/>"
        f"<path d='M0 {low}H{width}' stroke='currentColor' stroke-opacity='.3'/></svg>"
    )
    return Picture(svg, f"up to {max(values, default=0.0):,.0f} msg/s")


def _rate(a: tuple[int, dict[str, int]], b: tuple[int, dict[str, int]], name: str) -> float:
    return (b[1].get(name, 0) - a[1].get(name, 0)) / max((b[0] - a[0]) / 1e9, 1e-9)


def _age(nanoseconds: int) -> str:
    seconds = max(nanoseconds, 0) // 1_000_000_000
    return f"{seconds} s" if seconds < 60 else f"{seconds // 60} min"
