"""Slow motion: what was recorded or traced, played on the map. An SVG that moves by itself, without script.

Moves with SMIL, which every browser plays in an image too:
https://developer.mozilla.org/en-US/docs/Web/SVG/Guides/SVG_animation_with_SMIL.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from labkit.servers import topology
from labkit.servers.blocking import blocking
from labkit.servers.errors import LabError
from labkit.views import flights, live, observed, snapshot, svg
from labkit.views.flights import Flight, Leg, Shown
from labkit.views.layout import arrange
from labkit.views.readable import short
from labkit.views.record import Mark, Record
from labkit.views.snapshot import Client, Snapshot
from labkit.views.topology_map import Drawing, Map, many
from labkit.views.trace import Trace

if TYPE_CHECKING:
    from labkit.attached import Attached

COLOURS = ("#d6247f", "#1f7a4d", "#8a4fd0", "#c2570c", "#0f74b8", "#7a6a00")  # by subject
AFTERWARDS = 1.2  # seconds of rest before it begins again
CAPTION = 1.4  # seconds that a mark is written above
BAND = 30.0  # above the map: what each colour is
LETTERS = 26  # of a subject there
ENDED = {"kill", "stop", "exit", "lame duck", "pause"}  # what takes a server away
BACK = {"start", "restart", "resume"}

# Scales the length of every movement; only where there is JavaScript.
_CONTROL = """<div id="{id}">{svg}<p style="font:13px system-ui,sans-serif">
<label>speed <input type="range" min="-2" max="2" step="0.5" value="0"></label>
<button>pause</button></p></div>
<script>(() => {{
  const all = document.querySelectorAll('[id="{id}"]'), box = all[all.length - 1];
  const drawing = box.querySelector("svg"), button = box.querySelector("button");
  const moving = [...drawing.querySelectorAll("animate, animateMotion")];
  box.querySelector("input").oninput = (event) => {{
    const length = {length} / 2 ** event.target.value;
    moving.forEach((part) => part.setAttribute("dur", length + "s"));
  }};
  button.onclick = () => {{
    const paused = drawing.animationsPaused();
    drawing[paused ? "unpauseAnimations" : "pauseAnimations"]();
    button.textContent = paused ? "pause" : "play";
  }};
}})()</script>"""


@dataclass(frozen=True, repr=False)
class Replay(Map):
    """Messages on a map, moving; `length` is how many seconds pass before it begins again."""

    length: float

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        bundle = {"text/plain": self.summary, "image/svg+xml": self.svg}
        if live.moves():
            id = f"labkit-replay-{secrets.token_hex(4)}"
            bundle["text/html"] = _CONTROL.format(id=id, svg=self.svg, length=self.length)
        return bundle


@blocking
def replay(what: Trace | Record, lab: topology.RunningTopology | Attached | None = None) -> Replay:
    """Play a trace or a record on the map of its lab, slowed down so that one sees each message.

    A dot is a message on its way to one receiver, its colour the subject; a ring is a reply. They
    travel in the order and in the proportion in which it happened. Servers that labkit killed and
    links that it cut are shown so for as long as they were. Without `lab`, on the one that was
    started last. Raises LabError where there is no lab, or nothing in the record that the map shows.
    """
    if not isinstance(what, Trace | Record):
        raise LabError(
            f"{what!r} cannot be played; give what `await labkit.trace(…)` returned, "
            "or the record of `with labkit.record(…) as record`"
        )
    if lab is None:
        running = topology.running()
        if not running:
            raise LabError("no lab runs here to play it on; write labkit.replay(what, lab)")
        lab = running[-1]
    seen = snapshot.take(lab) if isinstance(lab, topology.RunningTopology) else observed.take(lab)
    return _Player(what, _whole(snapshot.steady(seen), what), lab).replay()


def _whole(seen: Snapshot, what: Trace | Record) -> Snapshot:
    """The topology with nothing broken, and the clients that were in it then, each where it was."""
    there: dict[str, list[str]] = {}
    if isinstance(what, Trace):
        found = [(e.server, e.name or "(no name)") for e in what.events if e.kind == "CLIENT"]
    else:
        found = [(entry.server, entry.who) for entry in what.entries]
    for server, name in dict.fromkeys(found):
        there.setdefault(server, []).append(name)
    nodes = tuple(
        replace(
            node,
            state="running" if node.state != snapshot.ELSEWHERE else node.state,
            clients=tuple(Client(name, 1, None) for name in sorted(there.get(node.name, ()))),
        )
        for node in seen.nodes
    )
    links = tuple(replace(k, up=True, cut=False, delay=0.0, rtt=None) for k in seen.links)
    return Snapshot(nodes, links, seen.parents)


class _Player:
    """Draws the map, and over it what moves."""

    def __init__(
        self, what: Trace | Record, whole: Snapshot, lab: topology.RunningTopology | Attached
    ) -> None:
        self.drawing = Drawing(whole, arrange(whole), rtt=False, trace=None)
        self.drawing.draw()
        if isinstance(what, Trace):
            found, self.marks = flights.of_trace(what), list[Mark]()
        else:
            found = flights.of_record(what, _edges(whole))
            self.marks = what.marks(getattr(lab, "events", ()))
        self.left_out = max(0, len(found) - flights.MOST_FLIGHTS)
        found = [f for f in found[: flights.MOST_FLIGHTS] if any(map(self.step, f.legs))]
        if not found:
            raise LabError(
                "nothing in it went between the clients and servers of this map; were they recorded "
                "on another lab? Name it: labkit.replay(what, lab)"
            )
        moments = [mark.time_ns for mark in self.marks]
        self.shown, self.told = flights.schedule(found, moments, steady=not live.moves())
        last = max(*(s.finish for s in self.shown), *self.told.values(), 0.0)
        self.length = round(last + AFTERWARDS, 2)
        subjects = dict.fromkeys(f.subject for f in found if not f.reply)
        self.colours = dict(zip(subjects, itertools.cycle(COLOURS), strict=False))

    def replay(self) -> Replay:
        """The picture, with its words above and the moving parts over it."""
        top = self.drawing.top = self.drawing.top - BAND
        over = [*self.legend(top + BAND / 2), *self.broken(), *self.captions(top + BAND / 2)]
        over += [part for shown in self.shown for part in self.dots(shown)]
        drawn = self.drawing.page(over)
        summary = f"{many(len(self.shown), 'message')} in slow motion, {self.length:.0f} s"
        summary += f", {self.left_out:,} left out" if self.left_out else ""
        return Replay(drawn.svg, f"{summary}; {drawn.summary}", self.length)

    # --- where it goes

    def step(self, leg: Leg) -> tuple[str, bool] | None:
        """The line of a leg, and whether it is drawn the other way; None where the map has none."""
        places = self.drawing.layout.servers
        if leg.server not in places or (leg.kind == "link" and leg.other not in places):
            return None
        if leg.kind == "link":
            step = self.drawing.server_step(leg.server, leg.other)
            back = step.head == "start"
        else:
            kind = "ingress" if leg.kind == "in" else "egress"
            step = self.drawing.client_step(leg.server, leg.other, kind)
            back = leg.kind == "in"  # drawn from the server
        return (step.curve.path, back) if step.curve else None

    def dots(self, shown: Shown) -> Iterator[str]:
        """A dot for each leg, seen only while the message is on it."""
        flight = shown.flight
        ways = [way for way in map(self.step, flight.legs) if way is not None]
        each = (shown.finish - shown.begin) / max(len(ways), 1)
        for number, (path, back) in enumerate(ways):
            begin = shown.begin + number * each
            yield self.dot(flight, path, back, begin, begin + each)

    def dot(self, flight: Flight, path: str, back: bool, begin: float, finish: float) -> str:
        colour = self.colours.get(flight.subject, svg.SERVER.ink)
        look = f'fill="#fff" stroke="{colour}" stroke-width="3"'
        if not flight.reply:
            look = f'fill="{colour}" stroke="#fff" stroke-width="1.5"'
        points = "1;1;0;0" if back else "0;0;1;1"
        motion = (
            f'<animateMotion path="{path}" dur="{self.length}s" repeatCount="indefinite" '
            f'calcMode="linear" keyPoints="{points}" keyTimes="0;{self.part(begin)};'
            f'{self.part(finish)};1"/>'
        )
        return f'<circle r="6.5" {look} opacity="0">{motion}{self.seen(begin, finish)}</circle>'

    # --- when it is seen

    def part(self, seconds: float) -> str:
        """A moment as a part of the whole length."""
        return f"{min(max(seconds / self.length, 0), 1):.4f}"

    def seen(self, begin: float, finish: float) -> str:
        """Makes what it is in visible between two moments, and only then."""
        return (
            f'<animate attributeName="opacity" dur="{self.length}s" repeatCount="indefinite" '
            f'calcMode="discrete" values="0;1;0" keyTimes="0;{self.part(begin)};'
            f'{self.part(finish)}"/>'
        )

    def while_seen(self, begin: float, finish: float, parts: Iterable[str]) -> str:
        return f'<g opacity="0">{"".join(parts)}{self.seen(begin, finish)}</g>'

    # --- what was broken

    def broken(self) -> Iterator[str]:
        """Servers that were down and links that were cut, for as long as they were."""
        since: dict[tuple[str, ...], tuple[float, str]] = {}
        for mark in self.marks:
            what, _, names = mark.text.rpartition(" ")
            who, at = tuple(names.split("–")), self.told[mark.time_ns]
            if what in ENDED or what == "cut":
                since.setdefault(who, (at, what))
            elif what in BACK and who in since:
                yield self.out(who, *since.pop(who), at)
            elif mark.text.startswith("heal"):
                healed = [k for k in since if len(k) == 2 and (k == who or mark.text == "heal")]
                for pair in healed:
                    yield self.out(pair, *since.pop(pair), at)
        for who, (at, what) in since.items():
            yield self.out(who, at, what, self.length)

    def out(self, who: tuple[str, ...], begin: float, what: str, finish: float) -> str:
        """One server or link, shown as broken."""
        places = self.drawing.layout.servers
        if len(who) == 1 and who[0] in places:
            place, style = places[who[0]], svg.DOWN
            words = {"pause": "❚❚ paused", "stop": "■ stopped"}.get(what, "✕ killed")
            parts = [
                svg.box(place.x, place.y, place.width, place.height, style),
                svg.text(place.x, place.y - 7, who[0], style.ink, 13, bold=True),
                svg.text(place.x, place.y + 11, words, style.ink, 10.5),
            ]
            return self.while_seen(begin, finish, parts)
        link = next((k for k in self.drawing.links if {k.a, k.b} == set(who)), None)
        if link is None:
            return ""
        curve = self.drawing.curve(link.kind, link.a, link.b)
        cut = svg.pill(*curve.label, "✂ cut", svg.NOTE)
        return self.while_seen(begin, finish, [svg.line(curve, link.kind, up=False), cut])

    # --- words above the map

    def captions(self, y: float) -> Iterator[str]:
        """What was done to the lab, at its moment."""
        for mark in self.marks:
            at = self.told[mark.time_ns]
            x = self.drawing.layout.width - svg.pill_width(mark.text, 13) / 2
            pill = svg.pill(x, y, short(mark.text, 40), svg.STEP, 13)
            yield self.while_seen(at, at + CAPTION, [pill])

    def legend(self, y: float) -> Iterator[str]:
        """What each colour is, and that rings are replies."""
        entries = [(colour, short(name, LETTERS), False) for name, colour in self.colours.items()]
        if any(shown.flight.reply for shown in self.shown):
            entries.append((svg.SERVER.ink, "a reply", True))
        width = sum(34 + 5.9 * svg.letters(words) for _, words, _ in entries) + 8
        yield svg.box(width / 2, y, width, 22, svg.NOTE, 11)
        x = 14.0
        for colour, words, ring in entries:
            fill = "#fff" if ring else colour
            yield (
                f'<circle cx="{svg.number(x)}" cy="{svg.number(y)}" r="6" fill="{fill}" '
                f'stroke="{colour}" stroke-width="2.5"/>'
            )
            yield svg.text(x + 11, y, words, svg.NOTE.ink, 10.5, anchor="start")
            x += 34 + 5.9 * svg.letters(words)


def _edges(whole: Snapshot) -> list[tuple[str, str]]:
    """Pairs of servers that are linked: each of one cluster with each of another, where gateways are."""
    members: dict[str, list[str]] = {}
    for node in whole.nodes:
        members.setdefault(node.block, []).append(node.name)
    members |= {node.name: [node.name] for node in whole.nodes}
    return [
        (a, b)
        for link in sorted(whole.links, key=lambda link: link.kind == "gateway")
        for a in members.get(link.a, ())
        for b in members.get(link.b, ())
    ]
