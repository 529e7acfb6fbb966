"""Cutting and delaying the links between a lab's servers.

The forwarder, a thread of the guard, stands in the links; this is its owner's side. Which links
there are is told by `links`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import astuple, fields, replace

from labkit.servers import tables
from labkit.servers.errors import TopologyError
from labkit.servers.links import Link, Pair, expected, members, read
from labkit.servers.placement import PlannedServer
from labkit.servers.processes import Guard
from labkit.servers.server import ServerProcess
from labkit.servers.wait import wait_until

KINDS = ("cluster", "gateway", "leafnodes")  # listeners that other servers dial
ANSWER_TIMEOUT = 5.0  # seconds, for the forwarder
_BLOCKS = {"route": "cluster", "gateway": "gateway", "leaf": "leafnodes"}  # where a file has them
CUT_TIMEOUT = 5.0  # seconds, for the servers to notice
LONGEST_DELAY = 10_000  # milliseconds; nats-server gives a silent link up after some minutes
HEAL_TIMEOUT = 15.0  # seconds; nats-server dials again after 1 s, gateways somewhat later


class LinkList(list[Link]):
    """Links, shown as a table."""

    def _names(self) -> list[str]:
        return [field.name for field in fields(Link)]

    def _rows(self) -> list[list[str]]:
        return [[_shown(value) for value in astuple(link)] for link in self]

    def __repr__(self) -> str:
        return "\n".join(tables.aligned([self._names(), *self._rows()]))

    def _repr_html_(self) -> str:
        return tables.html_table(self._names(), self._rows())


def _shown(value: str | bool | float | None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g} ms" if value else "–"
    return value or "–"


# --- breaking -----------------------------------------------------------------------------------


class PortTakenError(TopologyError):
    """A port that was free when it was chosen for a link, and is no more."""


class Faults:
    """What is cut and delayed in a lab, and the forwarder that does it."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._opening: str | None = None
        self.cut: set[Pair] = set()
        self.delay: dict[Pair, float] = {}
        self.were_up: set[tuple[str, Pair]] = set()

    def open(self, listeners: Iterable[tuple[int, int, str, str]]) -> None:
        """Forward each (port, to, server, kind); `wait_open` tells whether it could be done.

        The guard does it before it starts what is asked of it next.
        """
        self._opening = self._guard.order_links({"open": list(listeners)})

    def wait_open(self) -> None:
        """Return when what was opened last forwards, at once the second time. Raises PortTakenError."""
        if self._opening is None:
            return
        answer, self._opening = self._guard.answer(self._opening, ANSWER_TIMEOUT), None
        if "error" in answer:
            raise PortTakenError(
                f"port {answer['port']}, chosen for a link, was taken meanwhile; start it again"
            )

    def heal(self, healed: Iterable[Pair]) -> set[tuple[str, Pair]]:
        """Neither cut nor delay these pairs any more; returns their links that are to come up."""
        pairs = set(healed)
        self.apply(self.cut - pairs, {p: ms for p, ms in self.delay.items() if p not in pairs})
        back = {(kind, pair) for kind, pair in self.were_up if pair in pairs}
        self.were_up -= back
        return back

    def apply(self, cut: set[Pair], delay: dict[Pair, float]) -> None:
        """Cut and delay these pairs from now on, and no others. Raises LabError when it was not done."""
        order = {
            "cut": [sorted(pair) for pair in cut],
            "delay": [[*sorted(pair), ms] for pair, ms in delay.items()],
        }
        self._guard.answer(self._guard.order_links(order), ANSWER_TIMEOUT)
        self.cut, self.delay = cut, delay

    def mark(self, link: Link, servers: Mapping[str, ServerProcess]) -> Link:
        """The link with what is known here about it; to a cluster it is cut when to every member."""
        pairs = {frozenset((link.a, name)) for name in members(servers, link.b) or [link.b]}
        delay = max(self.delay.get(pair, 0.0) for pair in pairs)
        return replace(link, cut=pairs <= self.cut, delay=delay)


def to_forward(planned: Iterable[PlannedServer]) -> list[int]:
    """The literal ports that servers dial of each other: the forwarder takes their place."""
    return sorted(
        listener.port
        for server in planned
        for listener in server.listeners
        if listener.kind in KINDS and listener.port
    )


def forwards(
    planned: Iterable[PlannedServer], dialed: Mapping[int, int]
) -> list[tuple[int, int, str, str]]:
    """What the forwarder is to do for placed servers: (port, to, server, kind) each."""
    return [
        (dialed[listener.port], server.addresses[listener.kind], server.name, listener.kind)
        for server in planned
        for listener in server.listeners
        if listener.port and listener.port in dialed
    ]


def pairs(servers: Mapping[str, ServerProcess], a: str, b: str) -> set[Pair]:
    """The pairs of servers that a link between `a` and `b` may join; each a server or a cluster.

    Raises TopologyError when there is no such link, with those that there are.
    """
    wanted = {frozenset(pair) for pair in itertools.product(_known(servers, a), _known(servers, b))}
    known = {link.pair for link in read(servers)}
    for link, ends in expected(servers):
        known |= {frozenset((link.a, name)) for name in ends}
    linked = wanted & known
    if not linked:
        there = sorted(f"{link.a}–{link.b}" for link in read(servers))
        raise TopologyError(
            f"there is no link between {a} and {b}; "
            + (f"there are {', '.join(there)}" if there else "no server of this lab has any")
        )
    _refuse_encrypted(servers, linked)
    return linked


def _refuse_encrypted(servers: Mapping[str, ServerProcess], wanted: set[Pair]) -> None:
    """Raise TopologyError when the forwarder cannot tell these links from others, because of TLS.

    A dialer says its name inside the encryption. Where all links of a listener are wanted, it
    does not matter who dials.
    """
    for link in read(servers):
        for name in link.pair & frozenset().union(*wanted):
            block = _BLOCKS[link.kind]
            if link.pair not in wanted and servers[name].planned.has(block, "tls"):
                raise TopologyError(
                    f"{_words(wanted)} cannot be told from {_words({link.pair})}: {name} has tls in "
                    f"its {block} block, and who dials says so under encryption. "
                    f"Take tls out of that block, or break all links of {name} by stopping it"
                )


def _known(servers: Mapping[str, ServerProcess], name: str) -> list[str]:
    return members(servers, name) or [servers[name].name]  # which raises, with the names there are


def wait_down(servers: Mapping[str, ServerProcess], cut: set[Pair]) -> None:
    """Return when no running server names a link of these pairs any more."""
    wait_until(
        lambda: not any(link.up and link.pair in cut for link in read(servers)),
        CUT_TIMEOUT,
        f"the servers to notice that {_words(cut)} is cut",
    )


def wait_up(servers: Mapping[str, ServerProcess], wanted: set[tuple[str, Pair]]) -> None:
    """Return when these links are up again, as far as both their servers run."""

    def missing() -> set[Pair]:
        up = {(link.kind, link.pair) for link in read(servers) if link.up}
        return {
            pair
            for kind, pair in wanted - up
            if all(name in servers and servers[name].state == "running" for name in pair)
            and not _is_replaced(kind, pair, up, servers)
        }

    wait_until(lambda: not missing(), HEAL_TIMEOUT, "the servers to find each other again")


def _is_replaced(
    kind: str, pair: Pair, up: set[tuple[str, Pair]], servers: Mapping[str, ServerProcess]
) -> bool:
    """Whether another link does what this one did.

    A leaf node and a gateway may choose among the servers at the other end.
    """
    asked = [
        (link.a, ends)
        for link, ends in expected(servers)
        if link.kind == kind and link.a in pair and pair - {link.a} <= ends
    ]
    joined = [p for other, p in up if other == kind]
    return bool(asked) and all(any(a in p and p & ends for p in joined) for a, ends in asked)


def _words(cut: set[Pair]) -> str:
    return ", ".join("–".join(sorted(pair)) for pair in cut)
