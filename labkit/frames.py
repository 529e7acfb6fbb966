"""Monitoring pages as DataFrames: of one server, and of all servers of a system together.

Thin: each method hands over to `labkit.views`, imported when it is first used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from labkit.servers.blocking import blocking_method
from labkit.servers.observe import Observed

if TYPE_CHECKING:
    import pandas as pd


class ServerFrames:
    """The monitoring pages of a server.

    All fields keep nats-server's own names; fields of nested objects have dotted names, lists
    stay lists. Counts and bytes are Int64, times datetime64 in UTC, durations timedelta64. Keyword
    arguments are the page's own options, for example `connz(state="closed")`; their meaning:
    https://docs.nats.io/running-a-nats-service/nats_admin/monitoring. Each raises ServerStateError
    when the server does not run or does not tell, and LabError for an option that the page does not have.
    """

    @blocking_method
    def varz(self: Observed) -> pd.DataFrame:
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
    def connz(self: Observed, /, **options: Any) -> pd.DataFrame:
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
    def routez(self: Observed, /, **options: Any) -> pd.DataFrame:
        """A row a route connection. A peer has several: a pool of 3 and one for the system account.

        `remote_name` the peer, `account` where a connection serves only one, `did_solicit` whether
        this server dialled, `rtt` zero until it is first measured, `in_msgs` received from the
        peer, `out_msgs` sent to it. `peers()` has a row a peer.
        """
        from labkit.views import monitor

        return monitor.ROUTEZ.of(self, options)

    @blocking_method
    def peers(self: Observed) -> pd.DataFrame:
        """A row a peer of the cluster: its `connections` of /routez put together.

        Messages, bytes and subscriptions are sums, `start` is the oldest, `rtt` the shortest of
        those measured.
        """
        from labkit.views import monitor

        return monitor.PEERS.of(self, {})

    @blocking_method
    def gatewayz(self: Observed, /, **options: Any) -> pd.DataFrame:
        """A row a gateway connection: one `outbound` a cluster, `inbound` as many as others chose.

        `gateway` the other cluster's name, `configured` whether the file names it, `name` the
        remote server's id, `rtt` round trip. `accs=True` adds `accounts` with their interest mode.
        """
        from labkit.views import monitor

        return monitor.GATEWAYZ.of(self, options)

    @blocking_method
    def leafz(self: Observed, /, **options: Any) -> pd.DataFrame:
        """A row a leaf link, seen from this side.

        `name` the server on the other side, `is_spoke` true where this server is the leaf,
        `account` the account that the link is bound to on this side, `rtt` round trip,
        `subscriptions` that the other side has announced. `subs=True` adds `subscriptions_list`.
        """
        from labkit.views import monitor

        return monitor.LEAFZ.of(self, options)

    @blocking_method
    def subsz(self: Observed, /, **options: Any) -> pd.DataFrame:
        """One row: the subscriptions of this server in figures.

        `num_subscriptions` now, `num_inserts` and `num_removes` since the start, `num_matches`
        lookups of a subject, `cache_hit_rate` 0 to 1, `max_fanout` and `avg_fanout` subscribers a
        subject. `subscriptions()` has a row a subscription.
        """
        from labkit.views import monitor

        return monitor.SUBSZ.of(self, options)

    @blocking_method
    def subscriptions(self: Observed, /, **options: Any) -> pd.DataFrame:
        """A row a subscription, the server's own included, however many there are.

        `account`, `subject`, `qgroup` its queue group, `msgs` delivered to it, `cid` of whom.
        `acc="NAME"` keeps one account's, `test="a.b"` those that a message on a.b would reach.
        """
        from labkit.views import monitor

        return monitor.SUBSCRIPTIONS.of(self, options)

    @blocking_method
    def jsz(self: Observed, /, **options: Any) -> pd.DataFrame:
        """One row: JetStream on this server; `disabled` is true where it is off.

        `memory` and `storage` bytes in use, `reserved_*` bytes promised to streams, `streams`,
        `consumers`, `messages`, `bytes` held here (replicas count on each server), `*_leader` how
        many it leads, `api.errors` requests refused, `meta_cluster.leader` who places streams.
        `lab.streams()` and `lab.consumers()` have a row each.
        """
        from labkit.views import monitor

        return monitor.JSZ.of(self, options)

    @blocking_method
    def accountz(self: Observed, /, **options: Any) -> pd.DataFrame:
        """A row an account that this server knows; `acc="NAME"` only that one.

        `client_connections`, `leafnode_connections` and `subscriptions` here, `is_system`,
        `jetstream_enabled`, `mappings`, `imports` and `exports` as lists.
        """
        from labkit.views import monitor

        return monitor.ACCOUNTZ.of(self, options)

    @blocking_method
    def healthz(self: Observed, /, **options: Any) -> pd.DataFrame:
        """One row: `status` "ok" or what is wrong, then also `status_code` and `error`.

        After the loss of quorum it stays "ok" for some seconds.
        """
        from labkit.views import monitor

        return monitor.HEALTHZ.of(self, options)


class SystemFrames:
    """The monitoring pages of all running servers as one DataFrame each.

    As `ServerFrames` has them, with a first column `server`. Servers that do not answer are left
    out; a line says so, and so does the frame's `attrs["skipped"]`.
    """

    @blocking_method
    def varz(self: Mapping[str, Observed]) -> pd.DataFrame:
        """A row a server: see `ServerFrames.varz`."""
        from labkit.views import monitor

        return monitor.VARZ.of_all(self, {})

    @blocking_method
    def connz(self: Mapping[str, Observed], /, **options: Any) -> pd.DataFrame:
        """A row a connection of a client or leaf node: see `ServerFrames.connz`."""
        from labkit.views import monitor

        return monitor.CONNZ.of_all(self, options)

    @blocking_method
    def routez(self: Mapping[str, Observed], /, **options: Any) -> pd.DataFrame:
        """A row a route connection, each seen from both its ends: see `ServerFrames.routez`."""
        from labkit.views import monitor

        return monitor.ROUTEZ.of_all(self, options)

    @blocking_method
    def peers(self: Mapping[str, Observed]) -> pd.DataFrame:
        """A row a server and peer: see `ServerFrames.peers`."""
        from labkit.views import monitor

        return monitor.PEERS.of_all(self, {})

    @blocking_method
    def gatewayz(self: Mapping[str, Observed], /, **options: Any) -> pd.DataFrame:
        """A row a gateway connection, each seen from both its ends: see `ServerFrames.gatewayz`."""
        from labkit.views import monitor

        return monitor.GATEWAYZ.of_all(self, options)

    @blocking_method
    def leafz(self: Mapping[str, Observed], /, **options: Any) -> pd.DataFrame:
        """A row a leaf link, each seen from both its ends: see `ServerFrames.leafz`."""
        from labkit.views import monitor

        return monitor.LEAFZ.of_all(self, options)

    @blocking_method
    def subsz(self: Mapping[str, Observed], /, **options: Any) -> pd.DataFrame:
        """A row a server, its subscriptions in figures: see `ServerFrames.subsz`."""
        from labkit.views import monitor

        return monitor.SUBSZ.of_all(self, options)

    @blocking_method
    def subscriptions(self: Mapping[str, Observed], /, **options: Any) -> pd.DataFrame:
        """A row a subscription: see `ServerFrames.subscriptions`."""
        from labkit.views import monitor

        return monitor.SUBSCRIPTIONS.of_all(self, options)

    @blocking_method
    def jsz(self: Mapping[str, Observed], /, **options: Any) -> pd.DataFrame:
        """A row a server, its JetStream: see `ServerFrames.jsz`."""
        from labkit.views import monitor

        return monitor.JSZ.of_all(self, options)

    @blocking_method
    def accountz(self: Mapping[str, Observed], /, **options: Any) -> pd.DataFrame:
        """A row an account and server: see `ServerFrames.accountz`."""
        from labkit.views import monitor

        return monitor.ACCOUNTZ.of_all(self, options)

    @blocking_method
    def healthz(self: Mapping[str, Observed], /, **options: Any) -> pd.DataFrame:
        """A row a server, its health: see `ServerFrames.healthz`."""
        from labkit.views import monitor

        return monitor.HEALTHZ.of_all(self, options)

    @blocking_method
    def streams(self: Mapping[str, Observed]) -> pd.DataFrame:
        """A row a stream of every account and JetStream domain, in its leader's words.

        `messages` and `bytes` kept now, from `first_seq` (stored at `first_ts`) to `last_seq`
        (`last_ts`); `num_subjects` different ones, `num_deleted` gaps between; `consumer_count`;
        `leader`, its followers `replicas`, of which `replicas_current` are up to date, of
        `num_replicas` wanted; `max_age`, `max_msgs`, `max_bytes` limits, -1 for none.
        """
        from labkit.views import assets

        return assets.streams(self)

    @blocking_method
    def consumers(self: Mapping[str, Observed], stream: str | None = None) -> pd.DataFrame:
        """A row a consumer of this stream, or of every one, in its leader's words.

        `num_pending` is its lag: messages that match and were not yet delivered. `num_ack_pending`
        delivered and not acknowledged, `num_redelivered` of these more than once, `num_waiting`
        pull requests that wait for messages; `delivered.*` and `ack_floor.*` how far it is;
        `leader`, `replicas` and `replicas_current` as in `streams()`; `ack_wait` until redelivery.
        Raises LabError for a stream that no running server has.
        """
        from labkit.views import assets

        return assets.consumers(self, stream)
