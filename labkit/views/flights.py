"""Messages on their way, in slow motion: who sent what to whom, over which servers, and when it is shown.

A message is shown as long after the one before it as it happened, in proportion; but never before
its sender has what it answers, never while the one before it from the same sender starts, and for
long enough to be seen.
"""

from __future__ import annotations

import itertools
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from labkit.views.record import Record
from labkit.views.trace import Trace

SHORTEST = 0.9  # seconds that a message is under way on the picture
APART = 0.18  # seconds between two messages of one sender
EACH, LEAST, MOST = 0.25, 2.0, 8.0  # seconds of the picture for a message, and for all of them
MOST_FLIGHTS = 150

Kind = Literal["in", "out", "link"]


@dataclass(frozen=True)
class Leg:
    """A piece of the way: between a client and its server ("in", "out"), or two servers ("link")."""

    kind: Kind
    server: str
    other: str


@dataclass(frozen=True)
class Flight:
    """One message from a sender to a receiver. Times are nanoseconds since 1970; `end` 0 for never."""

    start: int
    end: int
    sender: str
    receiver: str
    subject: str
    legs: tuple[Leg, ...]
    reply: bool = False


@dataclass(frozen=True)
class Shown:
    """A flight on the picture's own clock, in seconds from its beginning."""

    flight: Flight
    begin: float
    finish: float


def of_trace(trace: Trace) -> list[Flight]:
    """The steps of a traced message; each server passes on what it has got."""
    arrived = {e.server: _ns(e.time) for e in trace.events if e.type == "ingress"}
    flights = []
    for event in trace.events:
        at = _ns(event.time)
        if event.kind is None or event.name is None:
            continue
        if event.kind == "CLIENT" and event.type == "ingress":
            leg, ends = Leg("in", event.server, event.name), ("client", event.server)
        elif event.kind == "CLIENT":
            leg, ends = Leg("out", event.server, event.name), (event.server, f"to {event.name}")
        elif event.type == "egress":
            leg, ends = Leg("link", event.server, event.name), (event.server, event.name)
        else:
            continue
        end = arrived.get(ends[1], at)
        flights.append(Flight(at, max(end, at), *ends, trace.subject, (leg,)))
    return flights


def _ns(text: str) -> int:
    """A server's time as nanoseconds since 1970."""
    import pandas as pd

    return int(pd.Timestamp(text).value)


def of_record(record: Record, links: Iterable[tuple[str, str]]) -> list[Flight]:
    """The messages of a record: to everybody who received them, or as far as the first server.

    Their way between servers is the shortest on these links.
    """
    neighbours: dict[str, list[str]] = defaultdict(list)
    for a, b in links:
        neighbours[a].append(b)
        neighbours[b].append(a)
    flights, delivered = [], set()
    received = {(e.subject, e.same) for e in record.entries if e.what == "received"}
    for sent, got in record.pairs():
        delivered.add(id(sent))
        way = _way(neighbours, sent.server, got.server)
        if way is not None:
            between = tuple(Leg("link", a, b) for a, b in itertools.pairwise(way))
            legs = (
                Leg("in", sent.server, sent.who),
                *between,
                Leg("out", got.server, got.who),
            )
            ends = (sent.time_ns, got.time_ns, sent.who, got.who)
            flights.append(Flight(*ends, sent.subject, legs, _is_reply(sent.subject)))
    for sent in record.entries:
        lost = sent.what == "sent" and (sent.subject, sent.same) not in received
        if lost and sent.server:
            leg = Leg("in", sent.server, sent.who)
            reply = _is_reply(sent.subject)
            flights.append(Flight(sent.time_ns, 0, sent.who, "", sent.subject, (leg,), reply))
    return sorted(flights, key=lambda flight: flight.start)


def _is_reply(subject: str) -> bool:
    return subject.startswith("_INBOX.")


def _way(neighbours: Mapping[str, list[str]], a: str, b: str) -> list[str] | None:
    """The servers from a to b, both with it; None where no links lead there."""
    before: dict[str, str] = {a: ""}
    waiting = deque([a])
    while waiting and b not in before:
        here = waiting.popleft()
        for there in neighbours.get(here, ()):
            if there not in before:
                before[there] = here
                waiting.append(there)
    if not a or b not in before:
        return None
    way = [b]
    while way[-1] != a:
        way.append(before[way[-1]])
    return way[::-1]


def schedule(
    flights: list[Flight], marks: Iterable[int], steady: bool
) -> tuple[list[Shown], dict[int, float]]:
    """When each flight is shown, and each mark, on the picture's clock; marks in nanoseconds since 1970.

    What had arrived when a mark was made arrives before it, what was sent after it starts after it.
    With `steady`, one follows the other at equal distances: the same in every run.
    """
    moments = [m for f in flights for m in (f.start, f.end or f.start)]
    first, last = min(moments, default=0), max(moments, default=0)
    length = 0.0 if steady else min(max(EACH * len(flights), LEAST), MOST)
    per_ns = length / max(last - first, 1)
    shown: list[Shown] = []
    told: dict[int, float] = {}
    waiting = deque(sorted(marks))
    floor = 0.0  # what is shown next is not shown earlier: a mark is before it
    free: dict[str, float] = {}  # when each sender may send again
    got: dict[str, list[tuple[int, float]]] = defaultdict(list)  # since when each has what it has
    together: dict[tuple[str, int, str], float] = {}  # one message to several starts once

    def tell(mark: int) -> float:
        arrived = [s.finish for s in shown if s.flight.end <= mark]
        told[mark] = round(max([floor, (mark - first) * per_ns, *arrived]), 2)
        return told[mark] + APART

    for flight in flights:
        while waiting and waiting[0] < flight.start:
            floor = tell(waiting.popleft())
        has = [at for since, at in got[flight.sender] if since <= flight.start]
        earliest = [floor, (flight.start - first) * per_ns, free.get(flight.sender, 0.0), *has]
        same = (flight.sender, flight.start, flight.subject)
        begin = together.setdefault(same, round(max(earliest), 2))
        free[flight.sender] = max(free.get(flight.sender, 0.0), begin + APART)
        takes = max(SHORTEST, max(flight.end - flight.start, 0) * per_ns)
        shown.append(Shown(flight, begin, round(begin + takes, 2)))
        got[flight.receiver].append((flight.end or last, shown[-1].finish))
    for mark in waiting:
        floor = tell(mark)
    return shown, told
