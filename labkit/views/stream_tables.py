"""`watch_streams`: the streams of an account and their consumers, asked from JetStream again and again."""

from __future__ import annotations

import functools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TypeVar

from labkit.servers import background
from labkit.views.live import Live
from labkit.views.readable import many, short
from labkit.views.second_connection import Source, ViewError
from labkit.views.table import Cell, Table

if TYPE_CHECKING:
    import nats.aio.client
    import pandas as pd
    from nats.js.api import StreamInfo
    from nats.js.manager import JetStreamManager

ASK = 1.0  # seconds between two questions to JetStream
PAGE = 256  # entries of an answer of the API
ROWS = 20
# What is heard from servers that have no leader: nothing, or error 10008 of the API.
NO_MAJORITY = ("TimeoutError", "JetStream system temporarily unavailable")

T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """A stream as JetStream describes it; `lag` is what its slowest consumer has still to be sent."""

    stream: str
    subjects: str
    messages: int
    bytes: int
    first: int
    last: int
    consumers: int
    lag: int | None


class Streams(Live):
    """The streams of an account. See `watch_streams`."""

    def __init__(self, source: Source) -> None:
        super().__init__(source, "streams")
        self._rows: list[Row] = []
        self._asked = 0.0
        self._js: JetStreamManager | None = None

    async def _begin(self, client: nats.aio.client.Client) -> None:
        self._js = client.jsm()
        said = await self._ask()
        if said in NO_MAJORITY:
            raise ViewError(
                "JetStream does not answer: a majority of its servers must run; "
                "start those that are down, then look again"
            )
        if said:
            raise ViewError(
                f"no JetStream answers here ({said}): the server's file needs "
                "`jetstream: enabled`, or the client's account its streams"
            )

    async def _tick(self) -> None:
        if time.monotonic() - self._asked >= ASK:
            said = await self._ask()
            self.problems = [f"JetStream does not answer now ({said})"] if said else []

    async def _take_the_rest(self) -> None:
        await self._ask()

    async def _ask(self) -> str:
        """Ask for every stream and its consumers; what went wrong, "" where nothing did."""
        import nats.errors

        assert self._js
        self._asked = time.monotonic()
        try:
            infos = await _every(self._js.streams_info)
            self._rows = sorted(
                [await self._row(self._js, info) for info in infos], key=lambda row: row.stream
            )
        except (TimeoutError, OSError, nats.errors.Error) as error:
            return getattr(error, "description", None) or type(error).__name__
        return ""

    async def _row(self, js: JetStreamManager, info: StreamInfo) -> Row:
        name, state = info.config.name or "", info.state
        lister = functools.partial(js.consumers_info, name)
        consumers = await _every(lister) if state.consumer_count else []
        return Row(
            name,
            ", ".join(info.config.subjects or []),
            state.messages,
            state.bytes,
            state.first_seq,
            state.last_seq,
            state.consumer_count,
            max((c.num_pending or 0 for c in consumers), default=None),
        )

    async def up_to(self, stream: str, last: int, timeout: float = 5.0) -> Self:
        """Wait until the stream's last sequence is at least `last`; returns the view.

        Raises NotInTimeError after `timeout` seconds.
        """
        return await self._until(
            lambda: any(r.stream == stream and r.last >= last for r in self._rows),
            timeout,
            f"stream {stream!r} to have sequence {last:,}",
        )

    def frame(self) -> pd.DataFrame:
        """A row a stream, as JetStream said last (at most 1 s ago while the view lives).

        Columns: `subjects`, `messages`, `bytes`, `first` and `last` (sequences), `consumers`, and
        `lag`: messages that its slowest consumer has still to be sent; missing without consumers.
        """
        import pandas as pd

        rows = background.ask(lambda: list(self._rows))
        return (
            pd.DataFrame(rows, columns=list(Row.__dataclass_fields__))
            .set_index("stream")
            .astype({"lag": "Int64"})
        )

    def table(self) -> Table:
        """The streams in the order of their names."""
        rows: list[tuple[Cell, ...]] = [
            (
                row.stream,
                short(row.subjects),
                row.messages,
                row.bytes,
                row.first,
                row.last,
                row.consumers,
                "" if row.lag is None else row.lag,
            )
            for row in self._rows[:ROWS]
        ]
        notes = self._notes()
        if len(self._rows) > ROWS:
            notes.insert(0, f"not shown: {many(len(self._rows) - ROWS, 'stream')}")
        heading = many(len(self._rows), "stream")
        columns = tuple(Row.__dataclass_fields__)
        return Table(heading + ", stopped" * self.stopped, columns, rows, "; ".join(notes))

    def _moving_table(self) -> Table:
        return self.table()


async def _every(page: Callable[[int], Awaitable[list[T]]]) -> list[T]:
    """All entries of a list that the API gives in pages, each asked for by its offset."""
    found: list[T] = []
    while True:
        more = await page(len(found))
        found += more
        if len(more) < PAGE:
            return found


def watch_streams(source: Source) -> Streams:
    """Show the streams with their consumers' lag as a table that moves in its own output.

    `source` is a client or a lab (its first running server, with no login). Asks JetStream once a
    second over a connection of its own. `view.stop()` asks a last time and ends it; it also ends
    when the client is closed, the lab stopped, or with the kernel. `view.frame()` is a DataFrame.
    Raises ViewError where no JetStream answers.
    """
    return Streams(source).open()
