"""Who is connected to whom at one moment, in the servers' own words, for the map to draw.

What should be there (members, routes, gateways, leaf links) comes from the files, so that a
server or link that is down keeps its place; what is there comes from the monitoring pages.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from labkit.servers import readiness
from labkit.servers.durations import nanoseconds
from labkit.servers.observe import LINK_KINDS, LinkEnd, LinkKind, Observed, entries, link_ends
from labkit.servers.placement import PlannedServer
from labkit.servers.server import ServerProcess
from labkit.servers.topology import RunningTopology
from labkit.views.asking import ask

Page = dict[str, Any]

ELSEWHERE = "elsewhere"  # the state of a leaf node that is connected, but not of this lab


@dataclass(frozen=True)
class Client:
    """The clients of one name on one server; `rtt` in nanoseconds, the shortest, None if unknown."""

    name: str
    count: int
    rtt: int | None


@dataclass(frozen=True)
class Node:
    """A server: its state as labkit knows it, the block that it is drawn in, and its clients."""

    name: str
    block: str
    state: str
    jetstream: bool = False
    domain: str | None = None
    leader: bool = False
    clients: tuple[Client, ...] = ()


@dataclass(frozen=True)
class Link:
    """A connection that should be there: its ends (servers or blocks), and whether it is.

    `rtt` in nanoseconds, None if not measured. A leaf link has its leaf in `a`; `choice` is the
    block of the servers among which the leaf may choose, where there are several. `cut` and
    `delay` (milliseconds each way) are what this lab has done to it.
    """

    kind: str
    a: str
    b: str
    up: bool
    label: str = ""
    rtt: int | None = None
    choice: str = ""
    cut: bool = False
    delay: float = 0.0


@dataclass(frozen=True)
class Snapshot:
    """A topology at one moment. `parents` says below which other block a block of leaves is drawn."""

    nodes: tuple[Node, ...]
    links: tuple[Link, ...]
    parents: Mapping[str, str]


def take(lab: RunningTopology) -> Snapshot:
    """Ask every running server, several at once, and put their answers together."""
    said = ask(lab.values(), pages_of).given
    nodes = [_node(server, said.get(name)) for name, server in lab.items()]
    leaders = {page["jsz"].get("meta_cluster", {}).get("leader") for page in said.values()}
    nodes = [replace(n, leader=n.name in leaders and n.state == "running") for n in nodes]
    outside = list(outsiders(lab, said))
    leafs = list(_leaf_links(lab, said))
    links = [*_routes(lab, said), *_gateways(lab, said), *leafs, *(link for _, link in outside)]
    blocks = {node.name: node.block for node in nodes}
    parents = {
        node.block: blocks[link.b]
        for node, link in [*((n, k) for n in nodes for k in leafs if k.a == n.name), *outside]
        if blocks.get(link.b, node.block) != node.block
    }
    for node in nodes:  # a remote that may choose is below its block, also while it has not chosen
        for link in leafs:
            if link.a == node.name and link.choice and link.choice != node.block:
                parents[node.block] = link.choice
    links = [_broken(link, lab) for link in links]
    return Snapshot((*nodes, *(node for node, _ in outside)), tuple(links), parents)


def _broken(link: Link, lab: RunningTopology) -> Link:
    """The link with what `lab.cut` and `lab.delay` have done; to a cluster, when to every member."""
    ends = (
        [s.name for s in lab.values() if block_of(s.planned) == e] or [e] for e in (link.a, link.b)
    )
    pairs = {frozenset(pair) for pair in itertools.product(*ends)}
    delays = lab.delays
    return replace(link, cut=pairs <= lab.cuts, delay=max(delays.get(pair, 0.0) for pair in pairs))


def steady(snapshot: Snapshot) -> Snapshot:
    """The same without what the servers decide anew each time: the leader, and a leaf's choice."""
    nodes = tuple(replace(node, leader=False) for node in snapshot.nodes)
    links = tuple(replace(link, b=link.choice or link.b, label="") for link in snapshot.links)
    return replace(snapshot, nodes=nodes, links=links)


def block_of(planned: PlannedServer) -> str:
    """What a server is drawn in: its cluster, also a region of gateways; else itself."""
    name = readiness.group_of(planned)
    return f"server {planned.name}" if name is None else f"cluster {name}".strip()


def pages_of(server: Observed) -> Page:
    """The pages of a server that have something to tell, as its /varz says."""
    varz = server.monitor("varz")
    jetstream = varz.get("jetstream", {}).get("config")
    there = {
        "route": varz["routes"],
        "gateway": varz.get("gateway", {}).get("name"),
        "leaf": varz["leafnodes"],
    }
    return {
        "varz": varz,
        "ends": [end for kind in LINK_KINDS if there[kind] for end in link_ends(server, kind)],
        "jsz": server.monitor("jsz") if jetstream else {},
        "clients": entries(server, "connz", "connections", {}) if varz["connections"] else [],
    }


def _node(server: ServerProcess, said: Page | None) -> Node:
    planned = server.planned
    node = Node(server.name, block_of(planned), server.state)
    if said is None:
        domain = planned.setting("jetstream", "domain")
        return replace(node, jetstream=planned.jetstream, domain=domain)
    settings = said["varz"].get("jetstream", {}).get("config")
    return replace(
        node,
        state="running",
        jetstream=settings is not None,
        domain=(settings or {}).get("domain"),
        clients=tuple(clients_of(said["clients"])),
    )


def clients_of(connections: list[Page]) -> Iterator[Client]:
    """The clients by name; not labkit's own, nor a connection that never said or did anything."""
    rtts: dict[str, list[int]] = {}
    for entry in connections:
        spoke = entry.get("lang") or entry.get("name") or entry["subscriptions"] or entry["in_msgs"]
        if entry["kind"] == "Client" and spoke and entry.get("lang") != "labkit":
            rtts.setdefault(entry.get("name") or "(no name)", []).append(_rtt(entry) or 0)
    for name, measured in sorted(rtts.items()):
        yield Client(name, len(measured), min((r for r in measured if r), default=None))


def _rtt(entry: Page) -> int | None:
    """Nanoseconds; None where the server has not measured yet."""
    return nanoseconds(entry.get("rtt") or 0) or None


def shortest_rtt(ends: list[LinkEnd]) -> int | None:
    return min((end.rtt for end in ends if end.rtt), default=None)


def ends_of(said: Page | None, kind: LinkKind) -> list[LinkEnd]:
    """The ends of links of this kind that a server told of; none where it told nothing."""
    return [end for end in (said or {}).get("ends", ()) if end.kind == kind]


def _routes(lab: Mapping[str, ServerProcess], said: Mapping[str, Page]) -> Iterator[Link]:
    members = [s for s in lab.values() if readiness.cluster_of(s.planned) is not None]
    for number, one in enumerate(members):
        for other in members[number + 1 :]:
            if block_of(one.planned) == block_of(other.planned):
                here = _routes_to(said.get(one.name), other.name)
                there = _routes_to(said.get(other.name), one.name)
                up = bool(here and there)
                yield Link("route", one.name, other.name, up, rtt=shortest_rtt(here + there))


def _routes_to(said: Page | None, peer: str) -> list[LinkEnd]:
    return [end for end in ends_of(said, "route") if end.peer == peer]


def _gateways(lab: Mapping[str, ServerProcess], said: Mapping[str, Page]) -> Iterator[Link]:
    """A link a pair of clusters: each running server keeps one connection to the other cluster."""
    members: dict[str, list[ServerProcess]] = {}
    for server in lab.values():
        name = server.planned.setting("gateway", "name")
        if name:
            members.setdefault(name, []).append(server)
    for number, here in enumerate(members):
        for there in list(members)[number + 1 :]:
            ends = [(s, there) for s in members[here]] + [(s, here) for s in members[there]]
            if not any(to in readiness.gateways_of(s.planned) for s, to in ends):
                continue
            asked = [(said[s.name], to) for s, to in ends if s.name in said]
            found = [
                end for page, to in asked for end in ends_of(page, "gateway") if end.cluster == to
            ]
            sides = all(any(s.name in said for s in members[name]) for name in (here, there))
            partly = f"{len(found)} of {len(asked)} up" if 0 < len(found) < len(asked) else ""
            yield Link(
                "gateway",
                f"cluster {here}",
                f"cluster {there}",
                bool(found) and sides,
                label=partly if sides else "",
                rtt=shortest_rtt(found),
            )


def _leaf_links(lab: Mapping[str, ServerProcess], said: Mapping[str, Page]) -> Iterator[Link]:
    """A link a remote of each file that a server of this lab listens for."""
    for leaf in lab.values():
        rows = [end for end in ends_of(said.get(leaf.name), "leaf") if end.dialed]
        for ports in readiness.remotes(leaf.planned):
            targets = [s.name for s in lab.values() if readiness.listens(s.planned, ports)]
            if not targets:
                continue
            row = next((row for row in rows if row.peer in targets), None)
            blocks = {block_of(lab[name].planned) for name in targets}
            choice = blocks.pop() if len(targets) > 1 and len(blocks) == 1 else ""
            if row is None:
                yield Link("leaf", leaf.name, choice or targets[0], False, choice=choice)
                continue
            rows.remove(row)
            far = [end for end in ends_of(said.get(row.peer), "leaf") if end.peer == leaf.name]
            yield Link(
                "leaf",
                leaf.name,
                row.peer,
                bool(far),
                label=accounts_of(row, far),
                rtt=shortest_rtt([row, *(far if len(far) == 1 else [])]),
                choice=choice,
            )


def accounts_of(near: LinkEnd, far: list[LinkEnd]) -> str:
    """The accounts that a leaf link joins, the leaf's first; nothing for the global one on both sides."""
    here = near.account
    there = far[0].account if len(far) == 1 else here
    if here == there:
        return "" if here == "$G" else here
    return f"{here} → {there}"


def outsiders(lab: Mapping[str, Observed], said: Mapping[str, Page]) -> Iterator[tuple[Node, Link]]:
    """Leaf nodes that are connected to this lab and not of it, such as other people's."""
    for hub, page in said.items():
        rows = [end for end in ends_of(page, "leaf") if not end.dialed and end.peer not in lab]
        seen: Counter[str] = Counter()
        for row in sorted(rows, key=lambda row: (row.peer, row.account)):
            seen[row.peer] += 1
            if seen[row.peer] == 1:
                node = Node(row.peer, f"server {row.peer}", ELSEWHERE)
                label = "" if row.account == "$G" else row.account
                yield node, Link("leaf", row.peer, hub, True, label=label, rtt=row.rtt)
