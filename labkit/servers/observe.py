"""What a server tells of itself, typed: connections, subscriptions, link ends, streams, consumers, services.

Read from its monitoring pages at the moment of the call, each function one page, whole. Checks,
readiness, the links and the map share these readers; `labkit.views.monitor` has the pages' every
column as DataFrames. Where the words come from:
https://docs.nats.io/running-a-nats-service/nats_admin/monitoring.

Every function raises ServerStateError when the server does not answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from labkit.servers.durations import nanoseconds

EVERYTHING = 2**31 - 1  # entries of a page
GLOBAL_ACCOUNT = "$G"

Page = dict[str, Any]
ConnectionState = Literal["open", "closed", "all"]
LinkKind = Literal["route", "gateway", "leaf"]
LINK_KINDS: tuple[LinkKind, ...] = ("route", "gateway", "leaf")


class Observed(Protocol):
    """A server that tells of itself: one of a lab, or of a system that labkit did not start."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def state(self) -> str:
        """ "running", else a word for why it tells nothing."""

    def monitor(self, endpoint: str, /, **options: Any) -> Page:
        """What a monitoring page says. Raises ServerStateError when it says nothing."""


@dataclass(frozen=True)
class Subscription:
    """A subscription of one connection: `queue` is its group, None for none.

    `max` is after how many messages the server ends it, None for never; `msgs` how many it was
    sent so far. `account` is "" where the page does not tell it.
    """

    cid: int
    sid: str
    subject: str
    queue: str | None
    msgs: int
    max: int | None
    account: str


@dataclass(frozen=True)
class Connection:
    """A client or leaf node of one server, by the server's own number for it, the `cid`.

    `in_msgs` and `in_bytes` are what the server received from it, `out_` what it sent to it,
    `pending_bytes` what waits to be sent. `rtt` is a round trip in nanoseconds, None where it was
    not measured. `reason` is why the server closed it, "" while it is open. `lang`, `version` and
    `name` are what the client said in CONNECT, "" where it has said nothing.
    """

    cid: int
    kind: str
    type: str
    name: str
    account: str
    user: str
    ip: str
    port: int
    lang: str
    version: str
    in_msgs: int
    out_msgs: int
    in_bytes: int
    out_bytes: int
    pending_bytes: int
    rtt: int | None
    reason: str
    subscriptions: tuple[Subscription, ...]

    @property
    def is_open(self) -> bool:
        """Whether the server had not closed it."""
        return not self.reason

    @property
    def subjects(self) -> tuple[str, ...]:
        """What it listens to, sorted, each once."""
        return tuple(sorted({subscription.subject for subscription in self.subscriptions}))


@dataclass(frozen=True)
class LinkEnd:
    """One connection of a link between servers, as the server at one of its ends tells it.

    `peer` is the other server's name; a gateway tells only the id of that server. `number` is the
    connection's on this server, `rtt` a round trip in nanoseconds, None where it was not measured.
    `cluster` is the one that a gateway leads to, "" for other links. `dialed` says whether this
    server dialed: for a leaf link, whether it is the leaf node.
    """

    kind: LinkKind
    server: str
    peer: str
    number: int
    account: str
    rtt: int | None
    dialed: bool
    cluster: str


@dataclass(frozen=True)
class Stream:
    """A stream as this server holds it; `replicas` are the followers of its `leader`."""

    account: str
    name: str
    subjects: tuple[str, ...]
    messages: int
    bytes: int
    first_seq: int
    last_seq: int
    consumer_count: int
    num_replicas: int
    leader: str
    replicas: tuple[str, ...]
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Consumer:
    """A consumer as this server holds it.

    `num_pending` messages match and were not delivered yet, `num_ack_pending` were delivered and
    not acknowledged, `num_redelivered` of those more than once, `num_waiting` pull requests wait.
    `delivered` and `ack_floor` are sequences of the stream. `leader` is "" where one server alone
    runs JetStream.
    """

    account: str
    stream: str
    name: str
    delivered: int
    ack_floor: int
    num_pending: int
    num_ack_pending: int
    num_redelivered: int
    num_waiting: int
    leader: str
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Service:
    """An instance of a nats.micro service, as its discovery subscriptions on $SRV show it."""

    account: str
    name: str
    id: str
    cid: int


def connections(
    server: Observed, *, state: ConnectionState = "open", name: str | None = None
) -> list[Connection]:
    """The server's connections with their subscriptions, oldest first; of one client name, if given.

    nats-server keeps the last 10,000 that it closed.
    """
    options = {"subs": "detail", "auth": True, "state": state, "sort": "cid"}
    found = map(_connection, entries(server, "connz", "connections", options))
    return sorted((c for c in found if name in (None, c.name)), key=lambda c: c.cid)


def subscriptions(server: Observed, matching: str | None = None) -> list[Subscription]:
    """The server's subscriptions, its own included; with `matching`, those that hear this subject.

    The server does the matching. Subscriptions on other servers are not among them.
    """
    options: dict[str, Any] = {"subs": True} | ({"test": matching} if matching else {})
    found = entries(server, "subsz", "subscriptions_list", options)
    read = [_subscription(entry, entry.get("account", "")) for entry in found]
    return sorted(read, key=lambda s: (s.account, s.subject, s.cid, s.sid))


def link_ends(server: Observed, *kinds: LinkKind) -> list[LinkEnd]:
    """The server's connections to other servers, of these kinds or of all."""
    return [end for kind in kinds or LINK_KINDS for end in _LINK_READERS[kind](server)]


def streams(server: Observed) -> list[Stream]:
    """The streams of every account of which this server holds a replica."""
    return [_stream(account, detail) for account, detail in _stream_details(server)]


def consumers(server: Observed, stream: str | None = None) -> list[Consumer]:
    """The consumers of which this server holds a replica, of one stream or of all."""
    return [
        _consumer(account, consumer)
        for account, detail in _stream_details(server)
        if stream in (None, detail["name"])
        for consumer in detail.get("consumer_detail") or ()
    ]


def services(server: Observed) -> list[Service]:
    """The instances of services whose connection is to this server.

    An instance listens on $SRV.PING.<name>.<id> (ADR-32); what it answers there is its own word.
    """
    found = []
    for subscription in subscriptions(server):
        tokens = subscription.subject.split(".")
        if tokens[:2] == ["$SRV", "PING"] and len(tokens) == 4:
            _, _, name, id = tokens
            found.append(Service(subscription.account, name, id, subscription.cid))
    return found


def server_id(server: Observed) -> str:
    """The id of the server's process, another one after each start."""
    return str(server.monitor("varz")["server_id"])


def entries(server: Observed, endpoint: str, key: str, options: Mapping[str, Any]) -> list[Page]:
    """Every entry of a page, also where nats-server gives only 1,024 unless it is asked for more."""
    # In one piece: between two pages entries come and go, and /subsz has no order.
    return list(server.monitor(endpoint, **{"limit": EVERYTHING, **options}).get(key) or [])


def _connection(entry: Page) -> Connection:
    account = entry.get("account") or entry.get("name_tag") or ""
    listed = entry.get("subscriptions_list_detail") or ()
    return Connection(
        cid=entry["cid"],
        kind=entry.get("kind", ""),
        type=entry.get("type", ""),
        name=entry.get("name", ""),
        account=account,
        user=entry.get("authorized_user", ""),
        ip=entry.get("ip", ""),
        port=entry.get("port", 0),
        lang=entry.get("lang", ""),
        version=entry.get("version", ""),
        in_msgs=entry["in_msgs"],
        out_msgs=entry["out_msgs"],
        in_bytes=entry["in_bytes"],
        out_bytes=entry["out_bytes"],
        pending_bytes=entry["pending_bytes"],
        rtt=_rtt(entry),
        reason=entry.get("reason", ""),
        subscriptions=tuple(_subscription(said, account) for said in listed),
    )


def _subscription(entry: Page, account: str) -> Subscription:
    return Subscription(
        cid=entry["cid"],
        sid=entry["sid"],
        subject=entry["subject"],
        queue=entry.get("qgroup"),
        msgs=entry["msgs"],
        max=entry.get("max"),
        account=entry.get("account", account),
    )


def _routes(server: Observed) -> Iterator[LinkEnd]:
    for route in server.monitor("routez").get("routes") or ():
        dialed = route.get("did_solicit", False)
        yield _link_end("route", server, route.get("remote_name"), route, dialed)


def _gateways(server: Observed) -> Iterator[LinkEnd]:
    """The outbound ones: inbound are as many as others have chosen this server, often none."""
    for cluster, gateway in (server.monitor("gatewayz").get("outbound_gateways") or {}).items():
        said = gateway.get("connection") or {}
        yield _link_end("gateway", server, said.get("name"), said, True, cluster)


def _leaves(server: Observed) -> Iterator[LinkEnd]:
    for leaf in server.monitor("leafz").get("leafs") or ():
        yield _link_end("leaf", server, leaf.get("name"), leaf, leaf.get("is_spoke", False))


_LINK_READERS = {"route": _routes, "gateway": _gateways, "leaf": _leaves}


def _link_end(
    kind: LinkKind,
    server: Observed,
    peer: str | None,
    said: Page,
    dialed: bool,
    cluster: str = "",
) -> LinkEnd:
    number = said.get("rid") or said.get("cid") or said.get("id") or 0
    account = said.get("account", "")
    return LinkEnd(kind, server.name, peer or "?", number, account, _rtt(said), dialed, cluster)


def _rtt(said: Page) -> int | None:
    """Nanoseconds; None where the server has not measured yet."""
    return nanoseconds(said.get("rtt") or 0) or None


def _stream_details(server: Observed) -> Iterator[tuple[str, Page]]:
    page = server.monitor("jsz", accounts=True, streams=True, consumers=True, config=True)
    for account in page.get("account_details") or ():
        for detail in account.get("stream_detail") or ():
            yield account["name"], detail


def _stream(account: str, detail: Page) -> Stream:
    state, config = detail["state"], detail.get("config") or {}
    cluster = detail.get("cluster") or {}
    return Stream(
        account=account,
        name=detail["name"],
        subjects=tuple(config.get("subjects") or ()),
        messages=state["messages"],
        bytes=state["bytes"],
        first_seq=state["first_seq"],
        last_seq=state["last_seq"],
        consumer_count=state["consumer_count"],
        num_replicas=config.get("num_replicas", 1),
        leader=cluster.get("leader", ""),
        replicas=tuple(sorted(follower["name"] for follower in cluster.get("replicas") or ())),
        config=config,
    )


def _consumer(account: str, detail: Page) -> Consumer:
    return Consumer(
        account=account,
        stream=detail["stream_name"],
        name=detail["name"],
        delivered=detail["delivered"]["stream_seq"],
        ack_floor=detail["ack_floor"]["stream_seq"],
        num_pending=detail["num_pending"],
        num_ack_pending=detail["num_ack_pending"],
        num_redelivered=detail["num_redelivered"],
        num_waiting=detail["num_waiting"],
        leader=(detail.get("cluster") or {}).get("leader", ""),
        config=detail.get("config") or {},
    )
