"""The links between a lab's servers: those that are up, as the servers tell, and those that the files ask for.

A link is a route, a gateway connection or a leaf node connection. Reads only: `faults` breaks them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from labkit.servers import observe, readiness
from labkit.servers.errors import ServerStateError
from labkit.servers.observe import LinkEnd, Observed
from labkit.servers.placement import PlannedServer
from labkit.servers.server import ServerProcess

Pair = frozenset[str]


@dataclass(frozen=True)
class Link:
    """A link between two servers, or from a server to a whole cluster to which it has none.

    `rtt` is the round trip in milliseconds as a server last measured it: when the link came up,
    and every two minutes. `delay` is what `lab.delay` adds each way, in milliseconds.
    """

    kind: str
    a: str
    b: str
    up: bool
    rtt: float | None = None
    cut: bool = False
    delay: float = 0.0

    @property
    def pair(self) -> Pair:
        """The names of its two ends."""
        return frozenset((self.a, self.b))


def read(servers: Mapping[str, ServerProcess]) -> list[Link]:
    """The links that the running servers name, each once, and those that the files name but are down.

    A server outside of this lab is named as it names itself; at a gateway, by its id.
    """
    found = {
        (link.kind, link.pair): link
        for link in named([server for server in servers.values() if server.state == "running"])
    }
    for link, others in expected(servers):
        if not any(kind == link.kind and link.a in p and p & others for kind, p in found):
            found[link.kind, link.pair] = link
    return _in_order(found.values())


def named(running: Collection[Observed]) -> list[Link]:
    """The links that these servers name, each once."""
    ends = [end for server in running for end in _ends(server)]
    names = _names(running) if any(end.kind == "gateway" for end in ends) else {}
    found: dict[tuple[str, Pair], Link] = {}
    for link in (_link(end, names) for end in ends):
        found.setdefault((link.kind, link.pair), link)
    return _in_order(found.values())


def _in_order(links: Iterable[Link]) -> list[Link]:
    return sorted(links, key=lambda link: (link.kind, link.a, link.b))


def _ends(server: Observed) -> list[LinkEnd]:
    try:
        return observe.link_ends(server)
    except ServerStateError:  # it ends at this moment: it has no links
        return []


def _names(running: Iterable[Observed]) -> dict[str, str]:
    """The servers' names by the ids of their processes, which is how gateways name each other."""
    names = {}
    for server in running:
        try:
            names[observe.server_id(server)] = server.name
        except ServerStateError:
            continue  # it ends at this moment
    return names


def _link(end: LinkEnd, names: Mapping[str, str]) -> Link:
    """The link of which this is an end: a leaf node first, else in the order of the names."""
    here, there = end.server, names.get(end.peer, end.peer)
    if end.kind == "leaf":
        a, b = (here, there) if end.dialed else (there, here)
    else:
        a, b = sorted((here, there))
    return Link(end.kind, a, b, up=True, rtt=end.rtt / 1e6 if end.rtt else None)


def expected(servers: Mapping[str, ServerProcess]) -> Iterator[tuple[Link, set[str]]]:
    """The links that the files ask for, each with the servers of which any may be its other end.

    A gateway's other end is named as a cluster, a leaf node's as the first server that it may dial.
    """
    for server in servers.values():
        for peer in servers.values():
            together = readiness.cluster_of(server.planned) == readiness.cluster_of(peer.planned)
            if peer.name > server.name and together and _is_clustered(server):
                yield Link("route", server.name, peer.name, up=False), {peer.name}
        for hubs in _dialed(server, servers):
            yield Link("leaf", server.name, hubs[0], up=False), _with_clusters(hubs, servers)
    for server, clusters in readiness.gateways(dict(servers)):
        for cluster in clusters:
            yield Link("gateway", server.name, cluster, up=False), set(members(servers, cluster))


def members(servers: Mapping[str, ServerProcess], name: str) -> list[str]:
    """The servers that a name stands for: that server, or those of that cluster; none if neither is here."""
    if name in servers:
        return [name]
    return [s.name for s in servers.values() if name and readiness.group_of(s.planned) == name]


def _is_clustered(server: ServerProcess) -> bool:
    return readiness.cluster_of(server.planned) is not None


def _dialed(leaf: ServerProcess, servers: Mapping[str, ServerProcess]) -> Iterator[list[str]]:
    """For each remote of a leaf node, the servers that it names, where there is any."""
    for ports in readiness.remotes(leaf.planned):
        hubs = [s.name for s in servers.values() if _listens(s.planned, ports)]
        if hubs:
            yield hubs


def _with_clusters(hubs: Iterable[str], servers: Mapping[str, ServerProcess]) -> set[str]:
    """These servers and their clusters' others, of which they tell a leaf node."""
    clusters = {readiness.cluster_of(servers[hub].planned) for hub in hubs} - {None}
    return {
        s.name
        for s in servers.values()
        if s.name in hubs or readiness.cluster_of(s.planned) in clusters
    }


def _listens(planned: PlannedServer, ports: set[int]) -> bool:
    return any(listener.port in ports for listener in planned.listeners)
