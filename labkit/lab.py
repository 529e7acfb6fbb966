"""What `labkit.start` gives: the servers of `labkit.servers`, with what can be seen of them.

Thin: each method hands over to `labkit.views`, imported when it is first used, so that starting
a lab loads neither pandas nor matplotlib.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from labkit import notebook
from labkit.servers import server, tables
from labkit.servers import topology as topologies
from labkit.servers.blocking import blocking, blocking_method
from labkit.servers.errors import LabError
from labkit.servers.launching import Ports
from labkit.servers.server import START_TIMEOUT
from labkit.servers.topology import LinkChoice

if TYPE_CHECKING:
    import pandas as pd

    from labkit.views.topology_map import Map
    from labkit.views.trace import Trace


class Server(server.ServerProcess):
    """A nats-server of a lab, and its monitoring pages as DataFrames.

    All fields keep nats-server's own names; fields of nested objects have dotted names, lists
    stay lists. Counts and bytes are Int64, times datetime64 in UTC, durations timedelta64. Keyword
    arguments are the page's own options, for example `connz(state="closed")`; their meaning:
    https://docs.nats.io/running-a-nats-service/nats_admin/monitoring. Each raises ServerStateError
    when the server does not run, and LabError for an option that the page does not have.
    """

    @blocking_method
    def varz(self) -> pd.DataFrame:
        """One row: the server itself.

        `start`, `now`, `uptime`; `mem` bytes resident, `cpu` percent of one core; `connections`
        open now, `total_connections` since the start; `routes`, `leafnodes` open, `remotes`
        servers of the cluster known; `in_msgs`, `out_msgs`, `in_bytes`, `out_bytes` since the
        start, all connections, also routes; `slow_consumers` since the start;
        `jetstream.config.*`, `jetstream.stats.*`; limits such as `max_payload` (bytes).
        """
        from labkit.views import monitor

        return monitor.VARZ.of(self, {})

    @blocking_method
    def connz(self, /, **options: Any) -> pd.DataFrame:
        """A row a connection of a client or leaf node, however many there are.

        `cid` its number on this server, `kind` Client or Leafnode, `name` as the client gave it,
        `rtt` round trip at the last ping, `idle` since the last message, `pending_bytes` waiting
        to be sent to it, `in_msgs` what it sent, `out_msgs` what it received (bytes likewise),
        `subscriptions` how many. `state="closed"`: also `stop` and `reason`. `subs=True` adds
        `subscriptions_list`, `subs="detail"` `subscriptions_list_detail`. `account` is where its messages live.
        """
        from labkit.views import monitor

        return monitor.CONNZ.of(self, options)

    @blocking_method
    def routez(self, /, **options: Any) -> pd.DataFrame:
        """A row a route connection. A peer has several: a pool of 3 and one for the system account.

        `remote_name` the peer, `account` where a connection serves only one, `did_solicit` whether
        this server dialled, `rtt` zero until it is first measured, `in_msgs` received from the
        peer, `out_msgs` sent to it. `peers()` has a row a peer.
        """
        from labkit.views import monitor

        return monitor.ROUTEZ.of(self, options)

    @blocking_method
    def peers(self) -> pd.DataFrame:
        """A row a peer of the cluster: its `connections` of /routez put together.

        Messages, bytes and subscriptions are sums, `start` is the oldest, `rtt` the shortest of
        those measured.
        """
        from labkit.views import monitor

        return monitor.PEERS.of(self, {})

    @blocking_method
    def gatewayz(self, /, **options: Any) -> pd.DataFrame:
        """A row a gateway connection: one `outbound` a cluster, `inbound` as many as others chose.

        `gateway` the other cluster's name, `configured` whether the file names it, `name` the
        remote server's id, `rtt` round trip. `accs=True` adds `accounts` with their interest mode.
        """
        from labkit.views import monitor

        return monitor.GATEWAYZ.of(self, options)

    @blocking_method
    def leafz(self, /, **options: Any) -> pd.DataFrame:
        """A row a leaf link, seen from this side.

        `name` the server on the other side, `is_spoke` true where this server is the leaf,
        `account` the account that the link is bound to on this side, `rtt` round trip,
        `subscriptions` that the other side has announced. `subs=True` adds `subscriptions_list`.
        """
        from labkit.views import monitor

        return monitor.LEAFZ.of(self, options)

    @blocking_method
    def subsz(self, /, **options: Any) -> pd.DataFrame:
        """One row: the subscriptions of this server in figures.

        `num_subscriptions` now, `num_inserts` and `num_removes` since the start, `num_matches`
        lookups of a subject, `cache_hit_rate` 0 to 1, `max_fanout` and `avg_fanout` subscribers a
        subject. `subscriptions()` has a row a subscription.
        """
        from labkit.views import monitor

        return monitor.SUBSZ.of(self, options)

    @blocking_method
    def subscriptions(self, /, **options: Any) -> pd.DataFrame:
        """A row a subscription, the server's own included, however many there are.

        `account`, `subject`, `qgroup` its queue group, `msgs` delivered to it, `cid` of whom.
        `acc="NAME"` keeps one account's, `test="a.b"` those that a message on a.b would reach.
        """
        from labkit.views import monitor

        return monitor.SUBSCRIPTIONS.of(self, options)

    @blocking_method
    def jsz(self, /, **options: Any) -> pd.DataFrame:
        """One row: JetStream on this server; `disabled` is true where it is off.

        `memory` and `storage` bytes in use, `reserved_*` bytes promised to streams, `streams`,
        `consumers`, `messages`, `bytes` held here (replicas count on each server), `*_leader` how
        many it leads, `api.errors` requests refused, `meta_cluster.leader` who places streams.
        `lab.streams()` and `lab.consumers()` have a row each.
        """
        from labkit.views import monitor

        return monitor.JSZ.of(self, options)

    @blocking_method
    def accountz(self, /, **options: Any) -> pd.DataFrame:
        """A row an account that this server knows; `acc="NAME"` only that one.

        `client_connections`, `leafnode_connections` and `subscriptions` here, `is_system`,
        `jetstream_enabled`, `mappings`, `imports` and `exports` as lists.
        """
        from labkit.views import monitor

        return monitor.ACCOUNTZ.of(self, options)

    @blocking_method
    def healthz(self, /, **options: Any) -> pd.DataFrame:
        """One row: `status` "ok" or what is wrong, then also `status_code` and `error`.

        After the loss of quorum it stays "ok" for some seconds.
        """
        from labkit.views import monitor

        return monitor.HEALTHZ.of(self, options)


class Lab(topologies.RunningTopology):
    """A running topology: `lab["n1"]` is a server, `await lab.connect()` a client, `lab.stop()` its end.

    The monitoring pages of all running servers as one DataFrame each: as `Server` has them, with
    a first column `server`. Servers that do not run are left out; a line says so, and so does the
    frame's `attrs["skipped"]`. Also a context manager. Whatever ends this process, its servers end
    and their files go.
    """

    server_class = Server

    def __getitem__(self, name: str) -> Server:
        return cast(Server, super().__getitem__(name))

    @blocking_method
    def add(self, name: str, text: str, timeout: float = START_TIMEOUT) -> Server:
        """Start one more server from config text and return it when the topology is usable with it.

        The text names well-known addresses, as the topology's files do: a route to
        127.0.0.1:6222 reaches the server that has this address in its file. Raises ConfigError or
        TopologyError as `start` does; then the lab is as it was.
        """
        return cast(Server, super().add(name, text, timeout))

    @blocking_method
    def varz(self) -> pd.DataFrame:
        """A row a server: see `Server.varz`."""
        from labkit.views import monitor

        return monitor.VARZ.of_all(self, {})

    @blocking_method
    def connz(self, /, **options: Any) -> pd.DataFrame:
        """A row a connection of a client or leaf node: see `Server.connz`."""
        from labkit.views import monitor

        return monitor.CONNZ.of_all(self, options)

    @blocking_method
    def routez(self, /, **options: Any) -> pd.DataFrame:
        """A row a route connection, each seen from both its ends: see `Server.routez`."""
        from labkit.views import monitor

        return monitor.ROUTEZ.of_all(self, options)

    @blocking_method
    def peers(self) -> pd.DataFrame:
        """A row a server and peer: see `Server.peers`."""
        from labkit.views import monitor

        return monitor.PEERS.of_all(self, {})

    @blocking_method
    def gatewayz(self, /, **options: Any) -> pd.DataFrame:
        """A row a gateway connection, each seen from both its ends: see `Server.gatewayz`."""
        from labkit.views import monitor

        return monitor.GATEWAYZ.of_all(self, options)

    @blocking_method
    def leafz(self, /, **options: Any) -> pd.DataFrame:
        """A row a leaf link, each seen from both its ends: see `Server.leafz`."""
        from labkit.views import monitor

        return monitor.LEAFZ.of_all(self, options)

    @blocking_method
    def subsz(self, /, **options: Any) -> pd.DataFrame:
        """A row a server, its subscriptions in figures: see `Server.subsz`."""
        from labkit.views import monitor

        return monitor.SUBSZ.of_all(self, options)

    @blocking_method
    def subscriptions(self, /, **options: Any) -> pd.DataFrame:
        """A row a subscription: see `Server.subscriptions`."""
        from labkit.views import monitor

        return monitor.SUBSCRIPTIONS.of_all(self, options)

    @blocking_method
    def jsz(self, /, **options: Any) -> pd.DataFrame:
        """A row a server, its JetStream: see `Server.jsz`."""
        from labkit.views import monitor

        return monitor.JSZ.of_all(self, options)

    @blocking_method
    def accountz(self, /, **options: Any) -> pd.DataFrame:
        """A row an account and server: see `Server.accountz`."""
        from labkit.views import monitor

        return monitor.ACCOUNTZ.of_all(self, options)

    @blocking_method
    def healthz(self, /, **options: Any) -> pd.DataFrame:
        """A row a server, its health: see `Server.healthz`."""
        from labkit.views import monitor

        return monitor.HEALTHZ.of_all(self, options)

    @blocking_method
    def streams(self) -> pd.DataFrame:
        """A row a stream of every account and JetStream domain, in its leader's words.

        `messages` and `bytes` kept now, from `first_seq` (stored at `first_ts`) to `last_seq`
        (`last_ts`); `num_subjects` different ones, `num_deleted` gaps between; `consumer_count`;
        `leader`, its followers `replicas`, of which `replicas_current` are up to date, of
        `num_replicas` wanted; `max_age`, `max_msgs`, `max_bytes` limits, -1 for none.
        """
        from labkit.views import assets

        return assets.streams(self)

    @blocking_method
    def consumers(self, stream: str | None = None) -> pd.DataFrame:
        """A row a consumer of this stream, or of every one, in its leader's words.

        `num_pending` is its lag: messages that match and were not yet delivered. `num_ack_pending`
        delivered and not acknowledged, `num_redelivered` of these more than once, `num_waiting`
        pull requests that wait for messages; `delivered.*` and `ack_floor.*` how far it is;
        `leader`, `replicas` and `replicas_current` as in `streams()`; `ack_wait` until redelivery.
        Raises LabError for a stream that no running server has.
        """
        from labkit.views import assets

        return assets.consumers(self, stream)

    @blocking_method
    def map(self, *, rtt: bool = False, trace: Trace | None = None) -> Map:
        """A picture of who is connected to whom, read from the servers themselves: an SVG.

        Clusters as groups, with routes, gateways and leaf links (with their account, where it is
        not the global one), clients by name, the JetStream leader marked; servers that do not run
        and links that are down are dashed and say so. `rtt=True` writes the round-trip times that
        the servers have measured beside links and clients. `trace` lays the hops of a message on
        it, see `labkit.trace`. Positions depend on the files only, so that two pictures compare.
        `.save(path)` writes the file.
        """
        from labkit.views import snapshot, topology_map

        return topology_map.draw(snapshot.take(self), rtt=rtt, trace=trace)

    def _repr_html_(self) -> str:
        table = tables.html_table(("server", "role", "state", "url"), self.rows())
        shown = f"<b>{html.escape(self.topology)}</b>{' (stopped)' * self.stopped}{table}"
        if self.stopped:
            return shown
        from labkit.views import snapshot, topology_map

        try:
            # Without what differs from one moment to the next: who leads, whom a leaf has chosen.
            picture = topology_map.draw(snapshot.steady(snapshot.take(self))).svg
        except LabError as error:
            picture = f"<p>No map: {html.escape(str(error))}.</p>"
        return f"{shown}{picture}"


@blocking
def start(
    topology: str | Path | Mapping[str, str] = "single",
    *,
    ports: Ports = "free",
    links: LinkChoice = "forwarded",
    timeout: float = START_TIMEOUT,
) -> Lab:
    """Start a topology and return when it is usable.

    The topology is the name of a folder in server-configs, a path to a folder of .conf files or to
    one file, or a mapping of server name to config text. Each file is one server. `ports="free"`
    moves every loopback port to a free one, so that labs never collide; "well-known" keeps the
    files' own. `links="forwarded"` puts a forwarder between servers, so that links can be cut and
    delayed; with "direct", and on well-known ports, servers dial each other themselves, which is
    faster. In a notebook a lab of the same name that runs is replaced.

    Raises TopologyError or ConfigError, in the server's own words, when the topology is not
    usable within `timeout` seconds; then everything it had started is stopped.
    """
    return topologies.start(Lab, topology, ports, links, timeout, notebook.make_way)
