"""The map: a snapshot of a topology, drawn as an SVG that notebooks, GitHub and slides can show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from labkit.views import svg
from labkit.views.layout import (
    ARC,
    LONGEST_NAME,
    PILL_HEIGHT,
    PILL_PITCH,
    PILL_WIDTH,
    PILLS,
    Layout,
    Place,
    arrange,
)
from labkit.views.readable import plain, short
from labkit.views.snapshot import ELSEWHERE, Client, Link, Node, Snapshot
from labkit.views.svg import Curve, Point, Style
from labkit.views.trace import Trace

MARGIN = 12.0
LEGEND = 34.0
SIGNS = {"stopped": "■", "exited": "✕", "paused": "❚❚", ELSEWHERE: "◌"}
LETTERS_IN_A_PILL = 18


@dataclass(frozen=True)
class Step:
    """A step of a message: its line, at which end the arrow's head is, and where its number goes.

    A client that is only counted has no line of its own: then the number alone is drawn.
    """

    curve: Curve | None
    head: str
    label: Point


@dataclass(frozen=True)
class Map:
    """A picture of a topology; `svg` is its text."""

    svg: str
    summary: str

    def save(self, path: str | Path) -> Path:
        """Write the SVG to a file and return its path."""
        path = Path(path)
        path.write_text(self.svg + "\n", encoding="utf-8")
        return path

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return self.summary


def draw(snapshot: Snapshot, *, rtt: bool = False, trace: Trace | None = None) -> Map:
    """Draw a snapshot, with round-trip times and the hops of a traced message where they are wanted."""
    return Drawing(snapshot, arrange(snapshot), rtt, trace).map()


def time_of(nanoseconds: int) -> str:
    """A round-trip time for a person: "245 µs", "1.2 ms"."""
    if nanoseconds < 1_000_000:
        return f"{nanoseconds / 1000:.0f} µs"
    return f"{nanoseconds / 1_000_000:.1f} ms"


def many(count: int, thing: str) -> str:
    """ "1 link", "2 links"."""
    return f"{count} {thing}{'' if count == 1 else 's'}"


def shortened(name: str, letters: int) -> str:
    """The name, with its middle left out where it is wider than so many letters.

    Its end stays: names of servers often differ only there.
    """
    name = plain(name)
    kept, shown = len(name), name
    while svg.letters(shown) > letters and kept:
        kept -= 1
        tail = kept // 3
        shown = f"{name[: kept - tail]}…{name[len(name) - tail :]}"
    return shown


def numbered(steps: list[int]) -> str:
    """Numbers of steps that are drawn at one place: "3", "2–61", "2, 4"."""
    if len(steps) > 1 and steps[-1] - steps[0] == len(steps) - 1:
        return f"{steps[0]}–{steps[-1]}"
    return short(", ".join(map(str, steps)), LETTERS_IN_A_PILL)


def together(links: Iterable[Link]) -> list[Link]:
    """Links with the same ends as one: a leaf node may have a link for each of its accounts."""
    same: dict[tuple[str, str, str], list[Link]] = {}
    for link in links:
        same.setdefault((link.kind, link.a, link.b), []).append(link)
    return [found[0] if len(found) == 1 else _as_one(found) for found in same.values()]


def _as_one(links: list[Link]) -> Link:
    up = [link for link in links if link.up]
    said = sorted(link.label or "$G" for link in up)
    said += [f"{len(up)} of {len(links)} up"] if 0 < len(up) < len(links) else []
    return replace(
        links[0],
        up=bool(up),
        label=", ".join(said),
        rtt=min((link.rtt for link in up if link.rtt), default=None),
        cut=all(link.cut for link in links),
    )


class Drawing:
    """Puts lines, then boxes, then words on the page."""

    def __init__(self, snapshot: Snapshot, layout: Layout, rtt: bool, trace: Trace | None) -> None:
        self.snapshot, self.layout, self.rtt, self.trace = snapshot, layout, rtt, trace
        self.nodes = {node.name: node for node in snapshot.nodes}
        self.hidden = {n: block for block, names in layout.counted.items() for n in names}
        self.lines: list[str] = []
        self.shapes: list[str] = []
        self.words: list[str] = []
        self.links = together(snapshot.links)
        self.client_places: dict[
            tuple[str, str | None], Point
        ] = {}  # by None those in "and 3 more"
        self.top = 0.0  # of what stands above the layout: clients of a server at its upper edge

    def map(self) -> Map:
        """Draw all of it, and put it on a page."""
        self.draw()
        return self.page()

    def draw(self) -> None:
        """Place lines, boxes and words."""
        for block, place in self.layout.frames.items():
            self.frame(block, place)
        for link in sorted(self.links, key=lambda link: link.up):  # down ones underneath
            if link.a not in self.hidden and link.b not in self.hidden:
                self.link(link)
        for name, place in self.layout.servers.items():
            self.server(self.nodes[name], place)
        for block, place in self.layout.counts.items():
            self.count(block, place)
        if self.trace is not None:
            self.steps(self.trace)

    def page(self, over: Iterable[str] = ()) -> Map:
        """What was drawn as an SVG, with `over` on top of it."""
        width = max(self.layout.width, self.legend_width()) + 2 * MARGIN
        height = self.layout.height - self.top + 2 * MARGIN
        height += LEGEND if self.legend_entries() else 0
        moved = f'<g transform="translate({svg.number(MARGIN)},{svg.number(MARGIN - self.top)})">'
        parts = [moved, *self.lines, *self.shapes, *self.words, *over, "</g>"]
        parts += self.legend(MARGIN, height - MARGIN - LEGEND / 2 + 6)
        summary = self.summary()
        return Map(svg.document(width, height, summary, parts), summary)

    def summary(self) -> str:
        """The picture in a sentence."""
        down = [f"{n.name} ({n.state})" for n in self.snapshot.nodes if n.state in DOWN_STATES]
        lost = sum(not link.up for link in self.snapshot.links)
        parts = [
            f"{many(len(self.snapshot.nodes), 'server')}, {many(len(self.snapshot.links), 'link')}"
        ]
        parts += [f"down: {', '.join(down)}"] if down else []
        parts += [f"{many(lost, 'link')} down"] if lost else []
        return "; ".join(parts)

    def frame(self, block: str, place: Place) -> None:
        style = Style("#7f9bb82e", "#7187a0", "")
        self.lines.insert(0, svg.box(place.x, place.y, place.width, place.height, style, 12))
        name = block.removeprefix("cluster").strip()
        words = f"cluster {name}" if name else "cluster"
        gateway = any(k.kind == "gateway" and block in (k.a, k.b) for k in self.snapshot.links)
        routes = sum(node.block == block for node in self.snapshot.nodes) > 1
        words = words if routes or not gateway else f"region {name}"
        words = shortened(words, int((place.width - 32) / 5.9))
        x = place.x - place.width / 2 + 16 + 3 * len(words)
        self.words.append(svg.pill(x, place.y - place.height / 2 + 16, words, svg.TITLE))

    # Links

    def link(self, link: Link) -> None:
        curve = self.curve(link.kind, link.a, link.b)
        self.lines.append(svg.line(curve, link.kind, link.up))
        words = self.link_words(link)
        dense = link.kind == "leaf" and self.layout.servers[link.a].trunk is not None
        if dense and not link.up:
            self.words.append(svg.disc(curve.label[0], curve.label[1], words[0], svg.NOTE))
        elif words and not dense:
            self.words.append(svg.pill(*curve.label, words, svg.NOTE))

    def link_words(self, link: Link) -> str:
        """What stands on a link: whether it is down, the accounts it joins, delay and round trip."""
        said = [] if link.up else ["✂ cut" if link.cut else "✕ down"]
        said += [link.label] if link.label else []
        said += [f"delay {link.delay:g} ms"] if link.delay else []
        said += [time_of(link.rtt)] if self.rtt and link.up and link.rtt else []
        return " · ".join(said)

    def curve(self, kind: str, a: str, b: str) -> Curve:
        """The way of a link between two servers, a server and a cluster, or two clusters."""
        if kind == "gateway":
            return self.arc(a, b)
        if kind == "leaf":
            return self.branch(a, b)
        return self.route(self.layout.servers[a], self.layout.servers[b])

    def route(self, a: Place, b: Place) -> Curve:
        """Straight; around those between them where members stand one below the other."""
        between = [
            p
            for p in self.layout.servers.values()
            if p.x == a.x == b.x and min(a.y, b.y) < p.y < max(a.y, b.y)
        ]
        if not between:
            return svg.straight(edge(a, b), edge(b, a))
        out = 16 + 12 * len(between)
        left = a.x - a.width / 2
        return svg.bend((left, a.y), (left - out, a.y), (left - out, b.y), (left, b.y))

    def arc(self, a: str, b: str) -> Curve:
        """Over the tops of the clusters, higher for those further apart."""
        one, two = sorted((self.layout.frames[a], self.layout.frames[b]), key=lambda p: p.x)
        order = sorted(place.x for place in self.layout.frames.values())
        apart = order.index(two.x) - order.index(one.x)
        inset = 22 + 14 * (apart - 1)
        start = one.x + one.width / 2 - inset, one.y - one.height / 2
        end = two.x - two.width / 2 + inset, two.y - two.height / 2
        if apart > 1:
            start, end = (one.x, start[1]), (two.x, end[1])
        high = min(start[1], end[1]) - ARC * (apart + 0.6)
        return svg.bend(start, (start[0], high), (end[0], high), end)

    def branch(self, leaf: str, hub: str) -> Curve:
        """From a hub down to its leaf, by the trunk of its column where it stands in one."""
        low = self.layout.servers.get(leaf) or self.layout.counts[self.hidden[leaf]]
        way, start = self.way_out(hub)
        pull = (start[0], start[1] + 40)
        if low.trunk is not None:
            top = self.column_top(low) - 22
            down = svg.bend(start, pull, (low.trunk, top - 24), (low.trunk, top))
            left = low.x - low.width / 2
            path = f"{joined(way, down)} L{svg.at((low.trunk, low.y))} L{svg.at((left, low.y))}"
            return Curve(path, ((low.trunk + left) / 2, low.y))
        end = (low.x, low.y - low.height / 2)
        bend = svg.bend(start, pull, (low.x, end[1] - 50), end)
        # Words stand just above the leaf: there no two links come together.
        return Curve(joined(way, bend), (low.x, end[1] - 20))

    def way_out(self, hub: str) -> tuple[str, Point]:
        """The path from a hub to below its cluster's frame, and where that ends."""
        place = self.layout.servers.get(hub)
        if place is None:
            frame = self.layout.frames[hub]
            return "", (frame.x, frame.y + frame.height / 2)
        bottom = (place.x, place.y + place.height / 2)
        frame = self.layout.frames.get(self.nodes[hub].block, place)
        floor = frame.y + frame.height / 2
        if frame is place:
            return "", bottom
        if any(p.x == place.x and place.y < p.y < floor for p in self.layout.servers.values()):
            side = (place.x - place.width / 2, place.y)
            lane = frame.x - frame.width / 2 + 9
            around = svg.bend(side, (lane, side[1]), (lane, side[1]), (lane, side[1] + 16))
            return f"{around.path} L{svg.at((lane, floor))} ", (lane, floor)
        return f"M{svg.at(bottom)} L{svg.at((place.x, floor))} ", (place.x, floor)

    def column_top(self, place: Place) -> float:
        return min(p.y for p in self.layout.servers.values() if p.trunk == place.trunk)

    # Servers and clients

    def server(self, node: Node, place: Place) -> None:
        style = {"running": svg.SERVER, ELSEWHERE: svg.OUTSIDE}.get(node.state, svg.DOWN)
        self.shapes.append(svg.box(place.x, place.y, place.width, place.height, style))
        star = "★ " if node.leader else ""
        name = star + shortened(node.name, LONGEST_NAME - len(star))
        if place.shelf == "inside":
            self.seat(node, place, name, style)
            return
        about, done = self.about(node), self.done_at(node.name)
        y = place.y - 7 if about or done else place.y
        self.words.append(svg.text(place.x, y, name, style.ink, 13, bold=True))
        if done:
            done = short(done, int((place.width - 20) / 5.9))
            self.words.append(svg.pill(place.x, place.y + 11, done, svg.STEP))
        elif about:
            self.words.append(svg.text(place.x, place.y + 11, about, style.ink, 10.5))
        self.clients(node, place)

    def about(self, node: Node) -> str:
        """The second line in a server's box."""
        if node.state != "running":
            return f"{SIGNS[node.state]} {node.state}"
        if node.leader:
            return "JetStream leader"
        if node.domain:
            return f"JetStream, domain {shortened(node.domain, LONGEST_NAME)}"
        return "JetStream" if node.jetstream else ""

    def seat(self, node: Node, place: Place, name: str, style: Style) -> None:
        """A leaf node in a column: one line, with its state or how many clients it has."""
        left, right = place.x - place.width / 2, place.x + place.width / 2
        self.words.append(svg.text(left + 9, place.y, name, style.ink, 12, True, "start"))
        link = next((k for k in self.links if k.a == node.name), None)
        count = sum(client.count for client in node.clients)
        if node.state != "running":
            words = f"{SIGNS[node.state]} {node.state}"
            self.words.append(svg.text(right - 8, place.y, words, style.ink, 10, anchor="end"))
        else:
            if count:
                self.words.append(svg.pill(right - 14, place.y, str(count), svg.CLIENT, 10))
            words = self.seat_link_words(link)
            if words:
                self.words.append(
                    svg.text(right - 30, place.y, words, style.ink, 9.5, anchor="end")
                )

    def seat_link_words(self, link: Link | None) -> str:
        """What a column has room for: the delay of a link, or its round trip."""
        if link is None or not link.up:
            return ""
        if link.delay:
            return f"+{link.delay:g} ms"
        return time_of(link.rtt) if self.rtt and link.rtt else ""

    def clients(self, node: Node, place: Place) -> None:
        shown = list(node.clients)
        rest = 0
        if len(shown) > PILLS:
            rest = sum(client.count for client in shown[PILLS - 1 :])
            shown = shown[: PILLS - 1]
        labels: list[tuple[Client | None, str]] = [(c, self.client_words(c)) for c in shown]
        if rest:
            labels.append((None, f"and {rest} more"))
        for position, (client, words) in enumerate(labels):
            x, y, start = client_spot(place, position, len(labels))
            near = x if place.shelf == "below" else x - PILL_WIDTH / 2 * (1 if x > place.x else -1)
            end = (near, y if place.shelf != "below" else y - PILL_HEIGHT / 2)
            if place.shelf != "below" or position == 0:
                self.lines.append(svg.line(self.twig(start, end, place), "client"))
            self.shapes.append(svg.box(x, y, PILL_WIDTH, PILL_HEIGHT, svg.CLIENT, PILL_HEIGHT / 2))
            self.words.append(svg.text(x, y, words, svg.CLIENT.ink, 10.5))
            self.client_places[node.name, client.name if client else None] = (x, y)
            self.top = min(self.top, y - PILL_HEIGHT / 2)

    def twig(self, start: Point, end: Point, place: Place) -> Curve:
        if place.shelf == "below":
            return svg.straight(start, end)
        middle = (start[0] + end[0]) / 2
        return svg.bend(start, (middle, start[1]), (middle, end[1]), end)

    def client_words(self, client: Client) -> str:
        many = f" ×{client.count}" if client.count > 1 else ""
        tail = many + (f" · {time_of(client.rtt)}" if self.rtt and client.rtt else "")
        return shortened(client.name, LETTERS_IN_A_PILL - len(tail)) + tail

    def count(self, block: str, place: Place) -> None:
        """One box for many leaf nodes: how many, and which of them are not there."""
        names = set(self.layout.counted[block])
        links = [link for link in self.snapshot.links if link.a in names]
        lost = sorted({link.a for link in links if not link.up})
        hub = next(link.b for link in links)
        curve = self.branch(links[0].a, hub)
        self.lines.append(svg.line(curve, "leaf", len(lost) < len(names)))
        for offset in (8, 4):
            self.shapes.append(
                svg.box(place.x + offset, place.y + offset, place.width, place.height, svg.SERVER)
            )
        self.shapes.append(svg.box(place.x, place.y, place.width, place.height, svg.SERVER))
        ink = svg.SERVER.ink
        clients = sum(c.count for name in names for c in self.nodes[name].clients)
        title = f"{len(names)} leaf nodes" + (f", {many(clients, 'client')}" if clients else "")
        self.words.append(svg.text(place.x, place.y - 7, title, ink, 13, True))
        words = f"✕ down: {short(', '.join(lost), 30)} ({len(lost)})" if lost else "all connected"
        self.words.append(svg.text(place.x, place.y + 11, words, ink, 10.5))

    # A traced message

    def steps(self, trace: Trace) -> None:
        """The way of a message: each step an arrow with its number, in the order of the trace."""
        way = list(self.way(trace))
        self.shapes += [svg.arrow(step.curve, step.head) for step in way if step.curve]
        at: dict[Point, list[int]] = {}
        for number, step in enumerate(way, 1):
            at.setdefault(step.label, []).append(number)
        for point, numbers in at.items():
            draw = svg.disc if len(numbers) == 1 else svg.pill
            self.words.append(draw(*point, numbered(numbers), svg.STEP))

    def way(self, trace: Trace) -> Iterator[Step]:
        for event in trace.events:
            if event.server not in self.layout.servers or event.kind is None:
                continue
            if event.kind == "CLIENT":
                yield self.client_step(event.server, event.name, event.type)
            elif event.type == "egress" and event.name in self.layout.servers:
                yield self.server_step(event.server, event.name)
            elif event.type == "egress" and event.name in self.hidden:
                curve = self.branch(event.name, event.server)
                yield Step(curve, "end", curve.label)

    def server_step(self, a: str, b: str) -> Step:
        """Along the link of the two servers; over the top where they are in different clusters."""
        one, two = self.layout.servers[a], self.layout.servers[b]
        link = next((k for k in self.links if {k.a, k.b} == {a, b}), None)
        head = "end"
        if self.nodes[a].block == self.nodes[b].block:
            curve = self.route(one, two)
        elif link is not None:
            curve = self.branch(link.a, link.b)
            head = "start" if link.a == a else "end"  # drawn from the hub
        else:
            top = min(place.y - place.height / 2 for place in self.layout.frames.values())
            (start, out), (end, into) = self.roof(one, top - ARC), self.roof(two, top - ARC)
            curve = svg.bend(start, out, into, end)
        words = self.link_words(link) if link and one.trunk is two.trunk else ""
        beside = svg.pill_width(words) / 2 + 10 if words else 0
        return Step(curve, head, (curve.label[0] + beside, curve.label[1]))

    def roof(self, place: Place, height: float) -> tuple[Point, Point]:
        """Where a line to another cluster leaves a server, and its pull: above, or left below another."""
        if any(p.x == place.x and p.y < place.y for p in self.layout.servers.values()):
            left = place.x - place.width / 2
            return (left, place.y), (left - 70, place.y)
        x = place.x + place.width / 4
        return (x, place.y - place.height / 2), (x, height)

    def client_step(self, server: str, client: str | None, what: str) -> Step:
        """Between a client and its server: by the client's own line where it is shown."""
        place = self.layout.servers[server]
        if place.shelf == "inside":
            return Step(None, "end", (place.x + place.width / 2 + 2, place.y))
        rest = self.client_places.get((server, None))
        spot = self.client_places.get((server, client or "(no name)"), rest)
        x, y = client_spot(place, 0, 1)[:2] if spot is None else spot
        side = -1 if place.shelf == "left" else 1
        if place.shelf == "below":
            bottom = place.y + place.height / 2
            first = y - bottom < PILL_PITCH * 1.5
            near, away = (x, bottom), (x, y - PILL_HEIGHT / 2)
            curve = svg.straight(near, away)
            if not first:  # around those above it
                near, away = (x + place.width / 2 - 8, bottom), (x + PILL_WIDTH / 2, y)
                bow = away[0] + 26
                curve = svg.bend(near, (bow, bottom + 16), (bow, y), away)
            label = (x - PILL_WIDTH / 2, y)
        else:
            near = (place.x + side * place.width / 2, place.y)
            away = (x - side * PILL_WIDTH / 2, y)
            curve = self.twig(near, away, place)
            label = (x + side * PILL_WIDTH / 2, y)
        return Step(curve, "start" if what == "ingress" else "end", label)

    def done_at(self, server: str) -> str:
        """What a server did to the traced message: stored, mapped, handed to another account."""
        words = [
            {"JetStream": f"stored in {event.name}"}.get(event.type)
            or (f"→ {event.to}" if event.type == "subject mapping" else f"→ {event.account}")
            for event in (self.trace.events if self.trace else [])
            if event.server == server and event.type not in ("ingress", "egress")
        ]
        return " · ".join(words)

    # Legend

    def legend_entries(self) -> list[tuple[str, str]]:
        kinds = [
            k for k in ("route", "gateway", "leaf") if any(s.kind == k for s in self.snapshot.links)
        ]
        entries = [(kind, "leaf link" if kind == "leaf" else kind) for kind in kinds]
        if any(not link.up for link in self.links):
            entries.append(("down", "down"))
        if any(node.clients for node in self.snapshot.nodes):
            entries.append(("client", "client"))
        if any(node.leader for node in self.snapshot.nodes):
            entries.append(("★", "JetStream leader"))
        if self.trace is not None:
            entries.append(("step", f"{short(self.trace.subject, 30)}, step by step"))
        return entries

    def legend_width(self) -> float:
        return sum(46 + 5.9 * len(words) for _, words in self.legend_entries()) + 10

    def legend(self, x: float, y: float) -> Iterator[str]:
        entries = self.legend_entries()
        if not entries:
            return
        width = self.legend_width()
        yield svg.box(x + width / 2, y, width, 22, svg.NOTE, 11)
        x += 12
        for kind, words in entries:
            if kind == "★":
                yield svg.text(x + 12, y, "★", svg.NOTE.ink, 12)
            else:
                shown = "route" if kind == "down" else kind
                yield svg.line(svg.straight((x, y), (x + 24, y)), shown, kind != "down")
            yield svg.text(x + 30, y, words, svg.NOTE.ink, 10.5, anchor="start")
            x += 46 + 5.9 * len(words)


DOWN_STATES = ("stopped", "exited", "paused")


def joined(way: str, curve: Curve) -> str:
    """The path of a curve that goes on from where another ended."""
    return way + (curve.path.partition(" ")[2] if way else curve.path)


def edge(a: Place, b: Place) -> Point:
    """Where the straight line from the middle of `a` to that of `b` leaves the box of `a`."""
    dx, dy = b.x - a.x, b.y - a.y
    reach = [size / 2 / abs(d) for size, d in ((a.width, dx), (a.height, dy)) if d]
    part = min(reach, default=0.0)
    return a.x + dx * part, a.y + dy * part


def client_spot(place: Place, position: int, count: int) -> tuple[float, float, Point]:
    """Where a server's client stands, by its middle, and where its line begins."""
    if place.shelf == "below":
        top = place.y + place.height / 2
        return place.x, top + 18 + PILL_HEIGHT / 2 + position * PILL_PITCH, (place.x, top)
    side = -1 if place.shelf == "left" else 1
    x = place.x + side * (place.width / 2 + place.reach + PILL_WIDTH / 2)
    y = place.y + (position - (count - 1) / 2) * PILL_PITCH
    if place.shelf == "rising":
        y -= max(0.0, (count * PILL_PITCH - place.height) / 2)
    return x, y, (place.x + side * place.width / 2, place.y)
