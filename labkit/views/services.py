"""`watch_services`: the services of an account and their instances, asked on $SRV.STATS again and again."""

from __future__ import annotations

import asyncio
import html
import itertools
import re
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from labkit.servers import background, discovery
from labkit.servers.discovery import Instance
from labkit.views.live import Live
from labkit.views.plots import PALETTE
from labkit.views.readable import many, plain, short
from labkit.views.second_connection import Source
from labkit.views.table import Cell, Picture, Table
from labkit.views.topology_map import time_of
from labkit.views.traffic import WINDOW, sparkline

if TYPE_CHECKING:
    import nats.aio.client
    import pandas as pd
    from nats.aio.msg import Msg

ASK = 0.5  # seconds between two questions
LAST_ASK = 0.5  # seconds for the answers to the last question, at stop()
SILENT = 3.0  # seconds without an answer; a kernel that imports pandas is silent for two
REMEMBERED = 30.0  # seconds for which an instance that no longer answers is shown
ROWS = 24
LONGEST = 24  # characters of a name, an id, an owner
LINE, BAR = (150, 18), 60  # pixels: the plot of an instance's rate, the longest bar of a mean time
_TOKEN = re.compile(r"[^\s.*>]+")
NO_SERVICE = (
    "No service answers on $SRV.STATS. A program becomes one with `nats.micro.add_service(…)`."
)


@dataclass
class Seen:
    """An instance as it described itself last, and what has become of it since."""

    said: Instance
    question: int  # the last that it answered
    answered: float  # when, by the monotonic clock
    rates: deque[float] = field(default_factory=lambda: deque(maxlen=round(WINDOW / ASK)))
    gone: bool = False  # the server says that it no longer listens

    def answer(self, said: Instance, question: int, now: float) -> None:
        """Take its newest answer, and what it handled a second since the one before."""
        more = max(said.requests - self.said.requests, 0)
        self.rates.append(more / max(now - self.answered, 1e-9))
        self.said, self.question, self.answered, self.gone = said, question, now, False


class Services(Live):
    """The services of an account and their instances. See `watch_services`."""

    def __init__(self, source: Source) -> None:
        super().__init__(source, "services")
        self._seen: dict[tuple[str, str], Seen] = {}
        self._question = 0
        self._asked = 0.0
        self._inbox = ""

    async def _begin(self, client: nats.aio.client.Client) -> None:
        # The watched client's own kind of inbox, which its login may read.
        new_inbox = getattr(self._source, "new_inbox", client.new_inbox)
        self._inbox = new_inbox()
        await client.subscribe(f"{self._inbox}.>", cb=self._hear)
        await self._ask(client)
        await client.flush()  # the server has answered: a refusal is here by now

    async def _tick(self) -> None:
        client = self._client
        if client and client.is_connected and time.monotonic() - self._asked >= ASK:
            await self._ask(client)

    async def _take_the_rest(self) -> None:
        assert self._client
        await self._ask(self._client)
        end = time.monotonic() + LAST_ASK
        while (late := self._late()) and time.monotonic() < end:
            await asyncio.sleep(0.01)
        await self._ask_about(self._client, late)
        await self._client.flush()  # the server's word on those is here by now

    async def _ask(self, client: nats.aio.client.Client) -> None:
        """Ask all for their statistics; ask the server about those who missed the last question."""
        self._asked = time.monotonic()
        for key, seen in list(self._seen.items()):
            if self._asked - seen.answered > REMEMBERED:
                del self._seen[key]
        late = self._late()
        for seen in late:
            seen.rates.append(0.0)
        await self._ask_about(client, late)
        self._question += 1
        reply = f"{self._inbox}.stats.{self._question}"
        await client.publish(discovery.subject("STATS"), reply=reply)

    async def _ask_about(self, client: nats.aio.client.Client, late: list[Seen]) -> None:
        """Send to each of these alone: the server answers at once where it no longer listens."""
        for name, id in ((s.said.name, s.said.id) for s in late if not s.gone):
            if _TOKEN.fullmatch(name) and _TOKEN.fullmatch(id):
                reply = f"{self._inbox}.ping.{name}.{id}"
                await client.publish(discovery.subject("PING", name, id), reply=reply)

    def _late(self) -> list[Seen]:
        """Those who have not answered the last question."""
        return [seen for seen in self._seen.values() if seen.question < self._question]

    async def _hear(self, message: Msg) -> None:
        verb, *rest = message.subject.removeprefix(f"{self._inbox}.").split(".")
        if verb == "ping":
            if (seen := self._seen.get((rest[0], rest[1]))) and discovery.nobody(message):
                seen.gone = True
        elif said := discovery.read(message.data):
            now, question = time.monotonic(), int(rest[0])
            seen = self._seen.get(discovery.who(said))
            if seen is None:
                found = discovery.instance(said)
                self._seen[discovery.who(said)] = Seen(found, question, now)
            elif question > seen.question:
                seen.answer(discovery.instance(said), question, now)

    async def heard(self, requests: int, timeout: float = 5.0) -> Self:
        """Wait until the instances have counted this many requests in all, and return the view.

        Those that are gone count as long as they are shown. Raises NotInTimeError after `timeout` seconds.
        """
        return await self._until(
            lambda: _totals(self._all())[0] >= requests,
            timeout,
            f"{many(requests, 'request')} to be counted",
        )

    async def found(self, instances: int, timeout: float = 5.0) -> Self:
        """Wait until exactly this many instances answer, and return the view.

        Raises NotInTimeError after `timeout` seconds.
        """
        return await self._until(
            lambda: len(self._answering()) == instances,
            timeout,
            f"{many(instances, 'instance')} to answer",
        )

    def _state(self, seen: Seen) -> str:
        """ "" while it answers; "gone", or "silent" while the server still has its subscription."""
        missed = seen.question < self._question - 1 and self._asked - seen.answered > SILENT
        return "gone" if seen.gone else "silent" if missed else ""

    def _living(self) -> list[Seen]:
        """Those that are not gone, in the order of the table."""
        return [seen for seen in self._all() if not seen.gone]

    def _answering(self) -> list[Seen]:
        return [seen for seen in self._all() if not self._state(seen)]

    def _services(self) -> list[tuple[str, list[Seen]]]:
        """Each service with its instances."""
        return [(n, list(g)) for n, g in itertools.groupby(self._all(), lambda s: s.said.name)]

    def _all(self) -> list[Seen]:
        return sorted(list(self._seen.values()), key=_place)

    def frame(self) -> pd.DataFrame:
        """A row an instance, as it said last (at most 0.5 s ago while the view lives).

        Indexed by `id`. Columns: `service`, `version`, `owner` (of its metadata), `requests`,
        `errors`, `mean_ms` (processing time of a request in milliseconds, missing before the
        first), `rate` (requests a second between its last two answers), and `state`: "" while it
        answers, "gone", or "silent" when it has not answered for 3 s and the server still has it.
        Instances that no longer answer are kept for 30 s.
        """
        import pandas as pd

        rows = background.ask(
            lambda: [
                (
                    seen.said.id,
                    seen.said.name,
                    seen.said.version,
                    seen.said.owner,
                    seen.said.requests,
                    seen.said.errors,
                    None if (mean := _mean([seen])) is None else mean / 1e6,
                    seen.rates[-1] if seen.rates else 0.0,
                    self._state(seen),
                )
                for seen in self._all()
            ]
        )
        counts = ["requests", "errors", "mean_ms", "rate", "state"]
        frame = pd.DataFrame(rows, columns=["id", "service", "version", "owner", *counts])
        return frame.astype({"mean_ms": "float64"}).set_index("id")

    # --- its tables

    def table(self) -> Table:
        """A row a service, without ids, times, and how its requests spread over its instances."""
        rows: list[tuple[Cell, ...]] = []
        for name, group in self._services():
            living = [seen for seen in group if not seen.gone]
            gone = len(group) - len(living) or ""
            owners = ", ".join(sorted({seen.said.owner for seen in living} - {""}))
            versions = _versions(living)
            rows.append((short(name), versions, len(living), gone, short(owners), *_totals(group)))
        columns = ("service", "version", "instances", "gone", "owner", "requests", "errors")
        note = self._note(0, len(rows) - ROWS)
        return Table(self._heading(), columns, rows[:ROWS], note).without_empty("gone", "owner")

    def _moving_table(self) -> Table:
        """A row a service, and below it a row an instance with its rate and mean time."""
        services = self._services()
        most = max((rate for seen in self._all() for rate in seen.rates), default=0.0)
        room, hidden = max(ROWS - len(services), 0), 0
        rows: list[tuple[Cell, ...]] = []
        for name, group in services[:ROWS]:
            instances = [self._instance_row(seen, group, most) for seen in group]
            if len(group) == 1:
                rows.append((_bold(name), *instances[0][1:]))
                continue
            rows.append(self._service_row(name, group))
            if len(group) <= room:
                room -= len(group)
                rows += instances
            else:
                hidden += len(group)
        drawing = f"last {WINDOW:.0f} s, up to {most:,.0f} requests/s"
        words, counts = ("service", "version", "instance", "owner"), ("requests", "errors")
        note = self._note(hidden, len(services) - ROWS)
        table = Table(self._heading(), (*words, drawing, *counts, "mean time"), rows, note)
        return table.without_empty("owner")

    def _service_row(self, name: str, group: list[Seen]) -> tuple[Cell, ...]:
        living = [seen for seen in group if not seen.gone]
        mean = _mean(group)
        rate = sum(seen.rates[-1] for seen in living if seen.rates)
        now = "" if self.stopped else f"{rate:,.0f} requests/s now"
        words = (
            _bold(name),
            _bold(_versions(living)),
            _bold(many(len(living), "instance")),
            "",
            now,
        )
        return (*words, *_totals(group), "" if mean is None else time_of(mean))

    def _instance_row(self, seen: Seen, group: list[Seen], most: float) -> tuple[Cell, ...]:
        """`group` are the instances of its service, against whose slowest its mean time is drawn."""
        said, mean = seen.said, _mean([seen])
        slowest = max(_mean([other]) or 0 for other in group)
        line = sparkline(list(seen.rates), most, *LINE, room=round(WINDOW / ASK))
        words = f"up to {max(seen.rates, default=0.0):,.0f} requests/s"
        return (
            "",
            short(said.version, LONGEST),
            _marked(short(said.id, LONGEST), self._state(seen)),
            short(said.owner, LONGEST),
            Picture(line.svg, words),
            said.requests,
            said.errors,
            "" if mean is None else _bar(mean, slowest),
        )

    def _lasting_table(self) -> Table:
        return self._moving_table()

    def _heading(self) -> str:
        living = self._living()
        services = many(len({seen.said.name for seen in living}), "service")
        heading = f"{services}, {many(len(living), 'instance')}" if living else "no services"
        return heading + ", stopped" * self.stopped

    def _note(self, hidden: int, more: int) -> str:
        notes = self._notes()
        if hidden > 0:
            notes.insert(0, f"not shown: {many(hidden, 'instance')}; `frame()` has them")
        if more > 0:
            notes.insert(0, f"not shown: {many(more, 'more service')}; `frame()` has them")
        if not self._seen:
            notes.insert(0, NO_SERVICE)
        return "; ".join(notes)

    def _notes(self) -> list[str]:
        # What was asked in vain is asked again: nothing that counts is missing after a while.
        client = self._client
        if client is None or client.is_connected or self.stopped:
            return list(self.problems)
        said = f" ({client.last_error})" if client.last_error else ""
        return [f"not connected now{said}: this is what they said last", *self.problems]


def _place(seen: Seen) -> tuple[str, ...]:
    said = seen.said
    return said.name, said.version, said.owner, said.id


def _versions(group: list[Seen]) -> str:
    return short(", ".join(sorted({seen.said.version for seen in group})))


def _totals(group: list[Seen]) -> tuple[int, int]:
    return sum(s.said.requests for s in group), sum(s.said.errors for s in group)


def _mean(group: list[Seen]) -> int | None:
    """Nanoseconds that a request of these took on average; None before the first."""
    requests = sum(seen.said.requests for seen in group)
    return sum(s.said.processing_time for s in group) // requests if requests else None


def _bold(words: str) -> Picture:
    words = short(words, LONGEST)
    return Picture(f"<b>{html.escape(plain(words))}</b>", words)


def _marked(id: str, state: str) -> Picture:
    """An id, and what has become of the instance where it no longer answers."""
    shown = f"<code style='background:none'>{html.escape(plain(id))}</code>"
    if not state:
        return Picture(shown, id)
    shown = f"<span style='opacity:.55;text-decoration:line-through'>{shown}</span> {state}"
    return Picture(shown, f"{id} ({state})")


def _bar(mean: int, slowest: int) -> Picture:
    """A mean time in words, behind a bar as long as it is beside the slowest one."""
    width = max(BAR * mean / slowest, 1.0) if slowest else 1.0
    svg = (
        f"<svg width='{BAR}' height='10' viewBox='0 0 {BAR} 10' role='img'>"
        f"<rect width='{width:.1f}' height='10' rx='2' fill='{PALETTE[0]}'/></svg>"
    )
    return Picture(f"{svg} {time_of(mean)}", time_of(mean))


def watch_services(source: Source) -> Services:
    """Show the services and their instances as a table that moves in its own output.

    `source` is a client or a lab (its first running server, with no login). Asks $SRV.STATS twice
    a second over a connection of its own: requests, errors and processing time are what each
    instance says of itself since it started. One that no longer answers is "gone" when the server
    says that it no longer listens, else "silent"; it is shown for 30 s.

    `await view.found(3)` waits until three instances answer, `await view.heard(100)` until they
    have counted 100 requests. `view.stop()` asks a last time and ends it; it also ends when the
    client is closed, the lab stopped, or with the kernel. `view.frame()` is a DataFrame with a
    row for each instance. Raises ViewError where the client may not ask.
    """
    return Services(source).open()
