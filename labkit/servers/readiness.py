"""When a topology is usable: every link that its files name is up, and JetStream takes a stream.

Reads the servers' own monitoring pages; what to expect comes from the files.
"""

from __future__ import annotations

import functools
import itertools
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

from labkit.servers import config, listening, observe, placement
from labkit.servers.config import Key
from labkit.servers.errors import NotInTimeError, ServerStateError, TopologyError
from labkit.servers.placement import PlannedServer
from labkit.servers.probe import Conversation
from labkit.servers.server import ServerProcess
from labkit.servers.wait import wait_until

MOST_REPLICAS = 5  # that nats-server allows for a stream
POOL_SIZE = 3  # connections of a route unless the file says otherwise
STREAM = "LABKIT_READY"
LEAF_NODE_LISTENERS = ("leafnodes", "websocket")  # kinds of listeners that leaf nodes dial

Condition = tuple[str, Callable[[], bool]]


def wait_usable(servers: dict[str, ServerProcess], timeout: float) -> None:
    """Return when the topology is usable. Raises TopologyError with what was still missing."""
    _wait_all(servers, conditions(servers), timeout)


def wait_answers(wave: Iterable[ServerProcess], timeout: float) -> None:
    """Return when each server of the wave answers. Raises TopologyError as `wait_usable` does."""
    launched = {server.name: server for server in wave}
    _wait_all(launched, _answers(launched), timeout)


def _wait_all(
    servers: dict[str, ServerProcess], wanted: Iterable[Condition], timeout: float
) -> None:
    deadline = time.monotonic() + timeout
    for what, holds in wanted:
        try:
            wait_until(
                functools.partial(_unless_dead, servers, holds), deadline - time.monotonic(), what
            )
        except NotInTimeError:
            raise TopologyError(_missing(servers, what, timeout)) from None


def _unless_dead(servers: dict[str, ServerProcess], holds: Callable[[], bool]) -> bool:
    """Whether the condition holds; a server that has ended will never make it true."""
    for server in servers.values():
        server.refuse_dead()
    try:
        return holds()
    except ServerStateError:
        return False


def _missing(servers: dict[str, ServerProcess], what: str, timeout: float) -> str:
    lines = [f"the topology is not usable after {timeout:g} s: still waiting for {what}"]
    for server in servers.values():
        said = server.log.find(r"\[(ERR|FTL|WRN)\]")[-2:]
        lines += [f"  {server.name}: {line}" for line in said]
    return "\n".join(lines)


def conditions(servers: dict[str, ServerProcess]) -> Iterator[Condition]:
    """What must hold, one after another, each with the words for "waiting for …"."""
    yield from _answers(servers)
    yield "the servers to say where they listen", _holds(listening.refuse_other, servers)
    for server, peers in _routes(servers):
        yield (
            f"routes from {server.name} to {', '.join(sorted(peers))}",
            functools.partial(_has_routes, server, peers),
        )
    for cluster, members in clusters(servers).items():
        yield f"the routes of cluster {cluster} to settle", _Settled(members)
    for server, others in gateways(servers):
        yield (
            f"gateways from {server.name} to {', '.join(sorted(others))}",
            functools.partial(_has_gateways, server, others),
        )
    for server, as_leaf, as_hub in _leaves(servers):
        yield (
            f"{as_leaf + as_hub} leaf links of {server.name}",
            functools.partial(_has_leaves, server, as_leaf, as_hub),
        )
    yield from _jetstream(servers)
    if len(servers) > 1:  # what was waited for since may have come with a socket
        yield "the servers to listen", _holds(listening.refuse_exposed, servers)


def _holds(
    refuse: Callable[[Iterable[ServerProcess]], None], servers: Mapping[str, ServerProcess]
) -> Callable[[], bool]:
    """Whether a function that refuses servers refuses none of these."""

    def holds() -> bool:
        refuse(servers.values())
        return True

    return holds


def _answers(servers: dict[str, ServerProcess]) -> Iterator[Condition]:
    for server in servers.values():
        yield f"{server.name} to answer clients", server.answers


def cluster_of(planned: PlannedServer) -> str | None:
    """The name of the cluster that the server's file puts it in; None for a server on its own."""
    if not planned.has("cluster") or "cluster" not in planned.addresses:
        return None
    return planned.setting("cluster", "name") or planned.setting("gateway", "name") or ""


def group_of(planned: PlannedServer) -> str | None:
    """The cluster that the server is in, also where its file names only the gateway of that cluster."""
    name = cluster_of(planned)
    return planned.setting("gateway", "name") if name is None else name


def _routes(servers: dict[str, ServerProcess]) -> Iterator[tuple[ServerProcess, dict[str, int]]]:
    """Each server in a cluster with its peers there, and how many connections it has to each."""
    for members in clusters(servers).values():
        for server in members:
            peers = [peer for peer in members if peer is not server]
            if peers:
                yield server, {p.name: connections(server.planned, p.planned) for p in peers}


def clusters(servers: Mapping[str, ServerProcess]) -> dict[str, list[ServerProcess]]:
    """The servers of each cluster."""
    found: dict[str, list[ServerProcess]] = defaultdict(list)
    for server in servers.values():
        if (name := cluster_of(server.planned)) is not None:
            found[name].append(server)
    return found


def _has_routes(server: ServerProcess, peers: Mapping[str, int]) -> bool:
    """Whether the server has as many route connections to each of its peers as it is to have."""
    there = Counter(end.peer for end in observe.link_ends(server, "route"))
    return all(there[peer] >= count for peer, count in peers.items())


class _Settled:
    """Whether every route of a cluster has all its connections, the same ones as a moment ago.

    Two servers that dial each other at once may for an instant each keep the connection that the
    other is about to drop.
    """

    def __init__(self, members: list[ServerProcess]) -> None:
        self._members = members
        self._before: set[tuple[str, str, int]] = set()

    def __call__(self) -> bool:
        now = {
            (end.server, end.peer, end.number)
            for server in self._members
            for end in observe.link_ends(server, "route")
        }
        same, self._before = now == self._before, now
        ends = Counter((name, peer) for name, peer, _ in now)
        return same and all(
            ends[a.name, b.name] == ends[b.name, a.name] >= connections(a.planned, b.planned)
            for a, b in itertools.combinations(self._members, 2)
        )


def connections(a: PlannedServer, b: PlannedServer) -> int:
    """The connections that make one route: a pool that the accounts share, one for the system's.

    Source: https://docs.nats.io/running-a-nats-service/configuration/clustering/v2_routes
    """
    pools = [_number(planned.setting("cluster", "pool_size")) or POOL_SIZE for planned in (a, b)]
    if min(pools) < 0:
        return 1
    return min(pools) + (not any(planned.has("no_sys_acc") for planned in (a, b)))


def _number(text: str | None) -> int:
    try:
        return int(text or 0)
    except ValueError:
        return 0


def gateways(servers: dict[str, ServerProcess]) -> Iterator[tuple[ServerProcess, set[str]]]:
    """Each server with the names of the other clusters here that its file has gateways to."""
    here = {s.planned.setting("gateway", "name") or "" for s in servers.values()} - {""}
    for server in servers.values():
        others = gateways_of(server.planned) & here
        if others:
            yield server, others


def gateways_of(planned: PlannedServer) -> set[str]:
    """The names of the other clusters that the server's file gives a gateway to."""
    named = {
        setting.value
        for _, setting in planned.file.everything()
        if setting.key[:2] == ("gateway", "gateways") and setting.name == "name" and setting.value
    }
    return named - {planned.setting("gateway", "name") or ""}


def _has_gateways(server: ServerProcess, clusters: set[str]) -> bool:
    # Inbound ones may be none: each server of the other cluster chooses one server of this one.
    return clusters <= {end.cluster for end in observe.link_ends(server, "gateway")}


def remotes(planned: PlannedServer) -> list[set[int]]:
    """For each remote of the file's leafnodes block, the loopback ports that it dials, as written."""
    return list(_remotes(planned).values())


def _remotes(planned: PlannedServer) -> dict[Key, set[int]]:
    """The same, by the remote's key; without those that the file disables."""
    ports: dict[Key, set[int]] = defaultdict(set)
    for _, setting in planned.file.everything():
        if setting.key[:2] in (("leafnodes", "remotes"), ("leaf", "remotes")) and setting.value:
            for address in placement.ADDRESS.finditer(setting.value):
                ports[setting.key[:3]].add(int(address["port"]))
    disabled = _switched_on(planned, "disabled")
    return {key: found for key, found in ports.items() if key not in disabled}


def _switched_on(planned: PlannedServer, name: str) -> set[Key]:
    """The keys of the blocks in which this switch is on."""
    everything = planned.file.everything()
    return {s.key[:-1] for _, s in everything if s.name == name and config.is_true(s.value)}


def _leaves(servers: dict[str, ServerProcess]) -> Iterator[tuple[ServerProcess, int, int]]:
    """Each server with remotes: how many make it a leaf node, and how many the hub of who it dials."""
    for server in servers.values():
        dialed = _remotes(server.planned)
        hubs = len(dialed.keys() & _switched_on(server.planned, "hub"))
        if dialed:
            yield server, len(dialed) - hubs, hubs


def _has_leaves(server: ServerProcess, as_leaf: int, as_hub: int) -> bool:
    ends = observe.link_ends(server, "leaf")  # those that it accepted too
    as_leafs = sum(end.dialed for end in ends)
    return as_leafs >= as_leaf and len(ends) - as_leafs >= as_hub


def _jetstream(servers: dict[str, ServerProcess]) -> Iterator[Condition]:
    members = [s for s in servers.values() if s.planned.jetstream and _is_clustered(s)]
    for server in members:
        yield f"{server.name} to know JetStream's leader", functools.partial(_has_leader, server)
    sizes: dict[str, list[ServerProcess]] = defaultdict(list)
    for server in members:
        sizes[cluster_of(server.planned) or ""].append(server)
    for cluster, group in sizes.items():
        login = credentials(group[0].planned)
        if login is not None:
            replicas = min(len(group), MOST_REPLICAS)
            yield (
                f"a stream of {replicas} replicas in cluster {cluster}",
                functools.partial(
                    takes_stream, group[0].planned.addresses["client"], cluster, replicas, login
                ),
            )


def _is_clustered(server: ServerProcess) -> bool:
    return cluster_of(server.planned) is not None and (
        server.planned.has("cluster", "routes") or server.planned.has("gateway")
    )


def _has_leader(server: ServerProcess) -> bool:
    return bool(server.monitor("jsz").get("meta_cluster", {}).get("leader"))


def takes_stream(port: int, cluster: str, replicas: int, login: dict[str, str]) -> bool:
    """Whether the server on this port accepts a stream of this size; it is deleted again.

    True also where the login may not make streams.
    """
    stream = {
        "name": STREAM,
        "subjects": ["labkit.ready"],
        "num_replicas": replicas,
        "storage": "memory",
        "placement": {"cluster": cluster},
    }
    try:
        created = _ask(port, f"$JS.API.STREAM.CREATE.{STREAM}", stream, login)
    except PermissionError:  # who may not ask cannot tell; that there is a leader is known by now
        return True
    if "error" in created or not created:
        return False
    _ask(port, f"$JS.API.STREAM.DELETE.{STREAM}", {}, login)
    return True


def _ask(
    port: int, subject: str, body: dict[str, object], login: dict[str, str]
) -> dict[str, object]:
    payload = json.dumps(body).encode() if body else b""
    try:
        with Conversation(port, 2.0) as conversation:
            answer = conversation.request(subject, payload, login)
    except PermissionError:
        raise
    except OSError:
        return {}
    found: dict[str, object] = json.loads(answer) if answer else {}
    return found


def credentials(planned: PlannedServer) -> dict[str, str] | None:
    """A login that the file gives in plain words to a user who may use JetStream; None if it has none."""
    if planned.has("operator") or planned.has("tls"):
        return None
    token = planned.setting("authorization", "token")
    if token:
        return {"auth_token": token}
    groups: dict[tuple[object, ...], dict[str, str]] = defaultdict(dict)
    for _, setting in planned.file.everything():
        if setting.value and setting.name in ("user", "username", "password", "pass"):
            name = "user" if setting.name.startswith("user") else "pass"
            groups[setting.key[:-1]][name] = setting.value
    usable = [
        login
        for key, login in groups.items()
        if len(login) == 2 and not login["pass"].startswith("$2a$") and _may_use(planned, key)
    ]
    if usable:
        return usable[0]
    return None if planned.has("authorization") else {}


def _may_use(planned: PlannedServer, key: tuple[object, ...]) -> bool:
    """Whether the users under this key are of an account that has JetStream."""
    if key[:1] == ("authorization",):
        return True
    return key[:1] == ("accounts",) and planned.has("accounts", str(key[1]), "jetstream")


def launch_order(servers: Iterable[ServerProcess], *, forwarded: bool) -> list[list[ServerProcess]]:
    """Servers in waves: leaf nodes after those they dial, which saves them a retry after 1 s.

    Where links are forwarded they start together: the forwarder lets a leaf node wait.
    """
    kinds = ("websocket",) if forwarded else LEAF_NODE_LISTENERS
    waves: list[list[ServerProcess]] = []
    left = list(servers)
    while left:
        waiting = {
            s.name
            for s in left
            if any(
                listens(o.planned, ports, kinds)
                for ports in remotes(s.planned)
                for o in left
                if o is not s
            )
        }
        wave = [s for s in left if s.name not in waiting] or left
        waves.append(wave)
        left = [s for s in left if s not in wave]
    return waves


def listens(
    planned: PlannedServer, ports: set[int], kinds: Iterable[str] = LEAF_NODE_LISTENERS
) -> bool:
    """Whether the server accepts leaf nodes on one of these ports, as its file says."""
    return any(lis.kind in kinds and lis.port in ports for lis in planned.listeners)
