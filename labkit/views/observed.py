"""A snapshot of a system that labkit did not start, from what its servers say alone: no files say more.

So a link that is down is drawn only where a server that is there misses it: a route within a
cluster, or a gateway that a file names. Servers that were never found are not on it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace

from labkit.servers.foreign import OWN_NAME, ForeignServer
from labkit.servers.observe import LinkEnd
from labkit.views import snapshot
from labkit.views.asking import ask
from labkit.views.snapshot import Link, Node, Page, Snapshot


def take(system: Mapping[str, ForeignServer]) -> Snapshot:
    """Ask every server, several at once, and put their answers together."""
    said = ask(system.values(), _pages_of).given
    nodes = [_node(server, said.get(name)) for name, server in system.items()]
    leaders = {page["jsz"].get("meta_cluster", {}).get("leader") for page in said.values()}
    nodes = [replace(n, leader=n.name in leaders and n.state == "running") for n in nodes]
    blocks = {node.name: node.block for node in nodes}
    leafs, outside = list(_leaf_links(blocks, said)), list(snapshot.outsiders(system, said))
    parents = {blocks[k.a]: blocks[k.b] for k in leafs if blocks[k.a] != blocks[k.b]}
    parents |= {node.block: blocks[link.b] for node, link in outside}
    links = [*_routes(nodes, said), *_gateways(nodes, said), *leafs, *(k for _, k in outside)]
    return Snapshot((*nodes, *(node for node, _ in outside)), tuple(links), parents)


def _pages_of(server: ForeignServer) -> Page:
    if server.sees_links:
        return snapshot.pages_of(server)
    return {"ends": [], "jsz": {}, "clients": server.monitor("connz").get("connections") or []}


def _node(server: ForeignServer, said: Page | None) -> Node:
    known = server.known
    block = f"cluster {known.cluster}" if known.cluster else f"server {server.name}"
    clients = [c for c in (said or {}).get("clients", ()) if c.get("name") != OWN_NAME]
    found = tuple(snapshot.clients_of(clients))
    state = "running" if said else "stopped"
    return Node(server.name, block, state, known.jetstream, known.domain or None, clients=found)


def _routes(nodes: list[Node], said: Mapping[str, Page]) -> Iterator[Link]:
    for one, other in itertools.combinations(nodes, 2):
        if one.block == other.block and said.get(one.name, {}).get("varz"):
            here = [
                e for e in snapshot.ends_of(said.get(one.name), "route") if e.peer == other.name
            ]
            there = [
                e for e in snapshot.ends_of(said.get(other.name), "route") if e.peer == one.name
            ]
            up = bool(here and there)
            yield Link("route", one.name, other.name, up, rtt=snapshot.shortest_rtt(here + there))


def _gateways(nodes: list[Node], said: Mapping[str, Page]) -> Iterator[Link]:
    """A link a pair of clusters of which either names the other, or has a connection to it."""
    named: dict[str, set[str]] = {}
    found: dict[str, list[tuple[str, LinkEnd]]] = {}
    asked: dict[str, int] = {}
    for node in nodes:
        gateway = said.get(node.name, {}).get("varz", {}).get("gateway", {})
        if gateway.get("name"):
            here, ends = gateway["name"], snapshot.ends_of(said[node.name], "gateway")
            asked[here] = asked.get(here, 0) + 1
            others = {g["name"] for g in gateway.get("gateways") or ()} | {e.cluster for e in ends}
            named.setdefault(here, set()).update(others - {here})
            found.setdefault(here, []).extend((end.cluster, end) for end in ends)
    for here, there in itertools.combinations(named, 2):
        if there not in named[here] and here not in named[there]:
            continue
        both = [e for a, b in ((here, there), (there, here)) for to, e in found[a] if to == b]
        wanted = asked[here] + asked[there]
        partly = f"{len(both)} of {wanted} up" if 0 < len(both) < wanted else ""
        rtt = snapshot.shortest_rtt(both)
        yield Link("gateway", f"cluster {here}", f"cluster {there}", bool(both), partly, rtt)


def _leaf_links(blocks: Mapping[str, str], said: Mapping[str, Page]) -> Iterator[Link]:
    """A link a connection that a leaf node of the system has to a server of it."""
    for name in blocks:
        for row in snapshot.ends_of(said.get(name), "leaf"):
            if row.dialed:
                peer = row.peer if row.peer in blocks else ""
                far = [e for e in snapshot.ends_of(said.get(peer), "leaf") if e.peer == name]
                label = snapshot.accounts_of(row, far)
                rtt = snapshot.shortest_rtt([row, *(far if len(far) == 1 else [])])
                if peer:
                    yield Link("leaf", name, peer, bool(far), label, rtt)
