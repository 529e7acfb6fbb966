"""Where each server stands on the map. Depends on names and files only, so that pictures compare.

Clusters in a row (a single one in a ring), with leaf nodes below what they are joined to: up to
six in a row with their clients below them, more in columns along a trunk, more than sixty as a
count. Lengths are SVG pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from labkit.views import svg
from labkit.views.snapshot import Snapshot

HEIGHT = 46.0  # of a server's box
SEAT_HEIGHT = 28.0  # of a leaf's in a column
LETTER = 7.6  # width, at the size of names
PILL_WIDTH, PILL_HEIGHT, PILL_PITCH = 118.0, 19.0, 23.0
PILLS = 4  # places for clients beside a server; more are counted in the last
REACH = 28.0  # from a server to its clients
SHELF = PILL_WIDTH + REACH + 6  # what the clients beside a server take
GAP = 56.0  # between blocks
FRAME = 20.0  # between a cluster's frame and its servers
TITLE = 18.0  # more of it above, for the cluster's name
ARC = 34.0  # height of a gateway's arc to the next cluster
IN_A_ROW = 6
ROWS = 12  # of a column of leaf nodes
MOST_SEATS = 60
TRUNK = 30.0  # what a column's trunk takes
LONGEST_NAME = 24  # letters; longer names are cut


@dataclass(frozen=True)
class Place:
    """A box by its centre; `shelf` is where its clients go.

    That is "right", "left", "rising" (right, from the box's bottom up, as there are links below),
    "below" or "inside". `trunk` is the x of the line that leads to it, for leaf nodes in columns; `reach` the length
    of the lines to its clients.
    """

    x: float
    y: float
    width: float
    height: float
    shelf: str = "right"
    trunk: float | None = None
    reach: float = REACH

    def moved(self, dx: float, dy: float) -> Place:
        trunk = None if self.trunk is None else self.trunk + dx
        return replace(self, x=self.x + dx, y=self.y + dy, trunk=trunk)


@dataclass
class Layout:
    """Places of servers, of frames around clusters, and of counts of leaf nodes, by name."""

    width: float = 0.0
    height: float = 0.0
    middle: float | None = None  # the x that goes below its hub's; None for half the width
    servers: dict[str, Place] = field(default_factory=dict)
    frames: dict[str, Place] = field(default_factory=dict)
    counts: dict[str, Place] = field(default_factory=dict)
    counted: dict[str, list[str]] = field(default_factory=dict)

    def put(self, other: Layout, dx: float, dy: float) -> None:
        """Take in another layout, moved."""
        for mine, theirs in (
            (self.servers, other.servers),
            (self.frames, other.frames),
            (self.counts, other.counts),
        ):
            mine.update({name: place.moved(dx, dy) for name, place in theirs.items()})
        self.counted |= other.counted


def arrange(snapshot: Snapshot) -> Layout:
    """The layout of a whole topology, from (0, 0) to (width, height)."""
    return _Arranger(snapshot).everything()


class _Arranger:
    """Lays out each block with what hangs below it, from the roots down."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.members: dict[str, list[str]] = {}
        for node in snapshot.nodes:
            self.members.setdefault(node.block, []).append(node.name)
        self.parents = snapshot.parents
        self.children: dict[str, list[str]] = {}
        for block in self.members:
            if block in self.parents:
                self.children.setdefault(self.parents[block], []).append(block)
        names = max((svg.letters(node.name) for node in snapshot.nodes), default=0)
        domains = max((len(node.domain) for node in snapshot.nodes if node.domain), default=0)
        self.box = max(
            132.0,
            LETTER * min(names + 3, LONGEST_NAME) + 24,
            5.6 * len("JetStream, domain ") + 5.6 * min(domains, LONGEST_NAME) + 18
            if domains
            else 0.0,
        )
        self.gateways = {end for k in snapshot.links if k.kind == "gateway" for end in (k.a, k.b)}

    def everything(self) -> Layout:
        roots = [block for block in self.members if block not in self.parents]
        done = {block for root in roots for block in self.family(root)}
        roots += [block for block in self.members if block not in done]  # leaf of each other
        seen: set[str] = set()
        alone = sum(block.startswith("cluster") for block in roots) == 1
        trees = [self.tree(root, seen, ring=alone) for root in roots if root not in seen]
        arcs = ARC * len(self.gateways) if len(self.gateways) > 1 else 0.0
        whole = _in_a_row(trees, arcs)
        whole.height += arcs
        return whole

    def family(self, block: str, above: tuple[str, ...] = ()) -> Iterable[str]:
        """The block and all that hangs below it."""
        yield block
        for child in self.children.get(block, []):
            if child not in above:
                yield from self.family(child, (*above, block))

    def tree(self, block: str, seen: set[str], ring: bool) -> Layout:
        """A block, and below it its leaf nodes with theirs."""
        seen.add(block)
        own = self.block(block, ring)
        below = [child for child in self.children.get(block, []) if child not in seen]
        simple = [c for c in below if c.startswith("server") and not self.children.get(c)]
        rows = [self.tree(c, seen, ring=False) for c in below if c not in simple and c not in seen]
        names = [self.members[child][0] for child in simple]
        seen.update(simple)
        if 0 < len(names) <= IN_A_ROW:
            rows += [self.leaf(name) for name in names]
        layers = [own, *([_in_a_row(rows)] if rows else [])]
        if len(names) > MOST_SEATS:
            layers.append(self.count(block, names))
        elif len(names) > IN_A_ROW:
            layers.append(self.columns(names))
        return _stacked(layers)

    def block(self, block: str, ring: bool) -> Layout:
        """The servers of a cluster in their frame, or a server by itself; room for clients beside."""
        names = self.members[block]
        if block.startswith("server"):
            place = Place(self.box / 2, HEIGHT / 2, self.box, HEIGHT, "rising")
            return Layout(self.box + SHELF, HEIGHT, place.x, {names[0]: place})
        spots = self.ring(len(names)) if ring else self.pile(len(names))
        left, top = min(x for x, _ in spots), min(y for _, y in spots)
        wide = max(x for x, _ in spots) - left + self.box
        high = max(y for _, y in spots) - top + HEIGHT
        spare = SHELF - FRAME if any(x < 0 for x, _ in spots) else 0.0
        dx, dy = spare + FRAME + self.box / 2 - left, FRAME + TITLE + HEIGHT / 2 - top
        servers = {}
        for name, (x, y) in zip(names, spots, strict=True):
            from_middle = abs(x - left - (wide - self.box) / 2)
            edge = wide / 2 + FRAME - from_middle - self.box / 2  # from the box to the frame
            reach = REACH if edge > REACH + PILL_WIDTH else edge + 8  # within it, or outside
            shelf = "left" if x < -1 else "right"
            servers[name] = Place(x + dx, y + dy, self.box, HEIGHT, shelf, reach=reach)
        frame = Place(
            spare + FRAME + wide / 2,
            FRAME + TITLE / 2 + high / 2,
            wide + 2 * FRAME,
            high + 2 * FRAME + TITLE,
        )
        width = spare + wide + 2 * FRAME + SHELF - FRAME
        return Layout(width, frame.height, frame.x, servers, {block: frame})

    def ring(self, count: int) -> list[tuple[float, float]]:
        """Members around a centre; two side by side."""
        if count == 1:
            return [(0, 0)]
        if count == 2:
            return [(-self.box * 0.8, 0), (self.box * 0.8, 0)]
        wide, high = self.box * (0.62 + 0.17 * count), 30.0 + 20 * count
        angles = [math.tau * number / count - math.pi / 2 for number in range(count)]
        return [(round(wide * math.cos(a), 1), round(high * math.sin(a), 1)) for a in angles]

    def pile(self, count: int) -> list[tuple[float, float]]:
        """Members one below the other, with room for their clients."""
        return [(0, number * (PILLS * PILL_PITCH + 12)) for number in range(count)]

    def leaf(self, name: str) -> Layout:
        """A leaf node in a row: its clients are below it."""
        place = Place(self.box / 2, HEIGHT / 2, self.box, HEIGHT, "below")
        return Layout(self.box, HEIGHT + 18 + PILLS * PILL_PITCH, servers={name: place})

    def columns(self, names: list[str]) -> Layout:
        """Many leaf nodes: columns, each with a trunk at its left."""
        longest = max(svg.letters(name) for name in names)
        wide = LETTER * min(longest, LONGEST_NAME) + 92
        columns = math.ceil(len(names) / ROWS)
        rows = math.ceil(len(names) / max(columns, 3))
        columns = math.ceil(len(names) / rows)
        pitch = wide + TRUNK + 14
        layout = Layout(columns * pitch - 14, rows * (SEAT_HEIGHT + 8))
        for number, name in enumerate(names):
            column, row = divmod(number, rows)
            x, y = column * pitch + TRUNK + wide / 2, row * (SEAT_HEIGHT + 8) + SEAT_HEIGHT / 2
            trunk = column * pitch + TRUNK / 2
            layout.servers[name] = Place(x, y, wide, SEAT_HEIGHT, "inside", trunk)
        return layout

    def count(self, block: str, names: list[str]) -> Layout:
        """Too many leaf nodes to show each: one box that counts them."""
        place = Place(130, HEIGHT / 2, 260, HEIGHT, "inside")
        return Layout(260, HEIGHT + 12, counts={block: place}, counted={block: names})


def _in_a_row(parts: list[Layout], dy: float = 0.0) -> Layout:
    row = Layout(height=max((part.height for part in parts), default=0.0))
    x = 0.0
    for part in parts:
        row.put(part, x, dy)
        x += part.width + GAP / 2
    row.width = max(0.0, x - GAP / 2)
    row.middle = parts[0].middle if len(parts) == 1 else None
    return row


def _stacked(layers: list[Layout]) -> Layout:
    """Layers one below the other, their middles in line."""
    middles = [layer.width / 2 if layer.middle is None else layer.middle for layer in layers]
    line = max(middles)
    stack = Layout(middle=line)
    y = 0.0
    for layer, middle in zip(layers, middles, strict=True):
        stack.put(layer, line - middle, y)
        stack.width = max(stack.width, line - middle + layer.width)
        y += layer.height + GAP
    stack.height = y - GAP
    return stack
