"""The monitoring pages of servers as DataFrames: one server's, or all of a lab's with a `server` column.

Fields keep nats-server's own names. Their meaning:
https://docs.nats.io/running-a-nats-service/nats_admin/monitoring. `labkit.lab` says for each
page what its columns mean; `labkit.views.columns` how types are chosen.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from labkit.servers.errors import LabError
from labkit.servers.observe import Observed, entries
from labkit.views.asking import ask, refuse_silent
from labkit.views.columns import (
    COUNT,
    DURATION,
    FLAG,
    NUMBER,
    OTHER,
    SECONDS,
    TEXT,
    TIME,
    Row,
    flatten,
    frame,
)

Options = Mapping[str, Any]

_TRAFFIC = dict.fromkeys(("in_msgs", "out_msgs", "in_bytes", "out_bytes"), COUNT)


@dataclass(frozen=True)
class Page:
    """A monitoring page as a table: its known columns, its options, and how its rows are read."""

    name: str
    columns: dict[str, str]
    options: tuple[str, ...]
    read: Callable[[Observed, Options], list[Row]]

    def of(self, server: Observed, options: Options) -> pd.DataFrame:
        """This page of one server. Raises ServerStateError when it does not run."""
        query = self._query(options)
        refuse_silent(server)
        return frame(self.read(server, query), self.columns)

    def of_all(self, lab: Mapping[str, Observed], options: Options) -> pd.DataFrame:
        """This page of every running server, told apart by the column `server`.

        Says which servers it had to leave out; they are in the frame's `attrs["skipped"]` too.
        """
        query = self._query(options)
        answers = ask(lab.values(), lambda server: self.read(server, query))
        rows: list[Row] = [
            {"server": name, **row} for name, rows in answers.given.items() for row in rows
        ]
        return noted(frame(rows, {"server": TEXT, **self.columns}), answers.silent)

    def _query(self, options: Options) -> dict[str, Any]:
        """The options under the names that the server knows: some have a hyphen in them."""
        known = {name.replace("-", "_"): name for name in self.options}
        for name in options:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                raise LabError(
                    f"{self.name} has no option {name!r}; "
                    + (f"did you mean {near[0]!r}? " if near else "")
                    + f"There are: {', '.join(known) or 'none'}"
                )
        return {known[name]: value for name, value in options.items()}


def noted(table: pd.DataFrame, silent: dict[str, str]) -> pd.DataFrame:
    """The table, with a printed note and `attrs["skipped"]` on the servers that are not in it."""
    if silent:
        left_out = ", ".join(f"{name} ({state})" for name, state in silent.items())
        print(f"Not in this table, since nothing answers there: {left_out}.")
        table.attrs["skipped"] = dict(silent)
    return table


def _in_timedelta(row: Row) -> Row:
    """Timeouts, which nats-server tells in seconds, as the nanoseconds of all other durations."""
    return {
        name: int(value * 1e9) if name.rpartition(".")[2] in SECONDS else value
        for name, value in row.items()
    }


def _one_row(endpoint: str, server: Observed, options: Options) -> list[Row]:
    return [_in_timedelta(flatten(server.monitor(endpoint, **options)))]


def _jetstream(server: Observed, options: Options) -> list[Row]:
    return [{"disabled": False, **row} for row in _one_row("jsz", server, options)]


def _listed(endpoint: str, key: str, order: str, server: Observed, options: Options) -> list[Row]:
    """A row an entry of the page's list; sorted, since nats-server gives some in random order."""
    rows = [flatten(entry) for entry in server.monitor(endpoint, **options).get(key) or []]
    names = order.split()
    return sorted(rows, key=lambda row: [row.get(name) or 0 for name in names])


def _connections(server: Observed, options: Options) -> list[Row]:
    rows = map(flatten, entries(server, "connz", "connections", {"auth": 1, **options}))
    return [{"account": row.get("name_tag"), **row} for row in rows]


def _subscriptions(server: Observed, options: Options) -> list[Row]:
    found = entries(server, "subsz", "subscriptions_list", {"subs": 1, **options})
    return sorted(found, key=lambda s: (s.get("account", ""), s["subject"], s["cid"], s["sid"]))


def _peers(server: Observed, options: Options) -> list[Row]:
    """The route connections of each peer, put together."""
    peers: dict[str, list[Row]] = {}
    for route in ROUTEZ.read(server, options):
        peers.setdefault(route["remote_name"], []).append(route)
    return [
        {
            "remote_name": name,
            "remote_id": routes[0]["remote_id"],
            "connections": len(routes),
            "did_solicit": any(route["did_solicit"] for route in routes),
            "start": min(route["start"] for route in routes),
            "rtt": min((r["rtt"] for r in routes if r["rtt"] != "0s"), default=None),
            **{
                total: sum(route.get(total, 0) for route in routes)
                for total in ("pending_size", *_TRAFFIC, "subscriptions")
            },
        }
        for name, routes in peers.items()
    ]


def _gateways(server: Observed, options: Options) -> list[Row]:
    page = server.monitor("gatewayz", **options)
    rows = []
    for direction in ("outbound", "inbound"):
        for name, found in sorted((page.get(f"{direction}_gateways") or {}).items()):
            for entry in found if isinstance(found, list) else [found]:
                row = {"direction": direction, "gateway": name, "configured": entry["configured"]}
                row |= flatten(entry.get("connection") or {})
                rows.append(row | ({"accounts": entry["accounts"]} if "accounts" in entry else {}))
    return rows


def _accounts(server: Observed, options: Options) -> list[Row]:
    overview = server.monitor("accountz")
    wanted = [options["acc"]] if "acc" in options else sorted(overview["accounts"])
    rows = []
    for name in wanted:
        if name not in overview["accounts"]:
            known = ", ".join(sorted(overview["accounts"]))
            raise LabError(f"{server.name} has no account {name!r}; there are: {known}")
        detail = server.monitor("accountz", acc=name)["account_detail"]
        lists = {
            key: detail.pop(key) for key in ("mappings", "imports", "exports") if key in detail
        }
        rows.append({**flatten(detail), "is_system": name == overview["system_account"], **lists})
    return rows


VARZ = Page(
    "varz",
    {"server_id": TEXT, "server_name": TEXT, "version": TEXT, "start": TIME, "now": TIME}
    | {"uptime": DURATION, "cpu": NUMBER, "mem": COUNT, "connections": COUNT}
    | {"total_connections": COUNT, "routes": COUNT, "remotes": COUNT, "leafnodes": COUNT}
    | _TRAFFIC
    | {"slow_consumers": COUNT, "subscriptions": COUNT},
    (),
    functools.partial(_one_row, "varz"),
)
CONNZ = Page(
    "connz",
    {"cid": COUNT, "kind": TEXT, "type": TEXT, "name": TEXT, "account": TEXT}
    | {"authorized_user": TEXT, "ip": TEXT, "port": COUNT, "start": TIME, "last_activity": TIME}
    | {"stop": TIME, "reason": TEXT, "rtt": DURATION, "uptime": DURATION, "idle": DURATION}
    | {"pending_bytes": COUNT, **_TRAFFIC, "subscriptions": COUNT, "lang": TEXT, "version": TEXT},
    ("sort", "auth", "subs", "offset", "limit", "cid", "state", "acc", "user", "filter_subject"),
    _connections,
)
ROUTEZ = Page(
    "routez",
    {"rid": COUNT, "remote_id": TEXT, "remote_name": TEXT, "account": TEXT, "did_solicit": FLAG}
    | {"is_configured": FLAG, "ip": TEXT, "port": COUNT, "start": TIME, "last_activity": TIME}
    | {"rtt": DURATION, "uptime": DURATION, "idle": DURATION, "pending_size": COUNT}
    | {**_TRAFFIC, "subscriptions": COUNT, "compression": TEXT},
    ("subs",),
    functools.partial(_listed, "routez", "routes", "remote_name rid"),
)
PEERS = Page(
    "peers",
    {"remote_name": TEXT, "remote_id": TEXT, "connections": COUNT, "did_solicit": FLAG}
    | {"start": TIME, "rtt": DURATION, "pending_size": COUNT, **_TRAFFIC, "subscriptions": COUNT},
    (),
    _peers,
)
GATEWAYZ = Page(
    "gatewayz",
    {"direction": TEXT, "gateway": TEXT, "configured": FLAG, "cid": COUNT, "name": TEXT}
    | {"ip": TEXT, "port": COUNT, "start": TIME, "last_activity": TIME, "rtt": DURATION}
    | {"uptime": DURATION, "idle": DURATION, "pending_bytes": COUNT, **_TRAFFIC}
    | {"subscriptions": COUNT},
    ("accs", "acc_name", "gw_name"),
    _gateways,
)
LEAFZ = Page(
    "leafz",
    {"id": COUNT, "name": TEXT, "is_spoke": FLAG, "account": TEXT, "ip": TEXT, "port": COUNT}
    | {"rtt": DURATION, **_TRAFFIC, "subscriptions": COUNT, "compression": TEXT},
    ("subs", "acc"),
    functools.partial(_listed, "leafz", "leafs", "name id"),
)
SUBSZ = Page(
    "subsz",
    {"num_subscriptions": COUNT, "num_cache": COUNT, "num_inserts": COUNT, "num_removes": COUNT}
    | {"num_matches": COUNT, "cache_hit_rate": NUMBER, "max_fanout": COUNT, "avg_fanout": NUMBER},
    ("subs", "offset", "limit", "acc", "test"),
    functools.partial(_one_row, "subsz"),
)
SUBSCRIPTIONS = Page(
    "subscriptions",
    {"account": TEXT, "subject": TEXT, "qgroup": TEXT, "sid": TEXT, "msgs": COUNT, "cid": COUNT},
    ("offset", "limit", "acc", "test"),
    _subscriptions,
)
JSZ = Page(
    "jsz",
    {"disabled": FLAG, "memory": COUNT, "storage": COUNT, "reserved_memory": COUNT}
    | {"reserved_storage": COUNT, "accounts": COUNT, "ha_assets": COUNT, "api.level": COUNT}
    | {"api.total": COUNT, "api.errors": COUNT, "config.max_memory": COUNT}
    | {"config.max_storage": COUNT, "config.store_dir": TEXT, "config.sync_interval": DURATION}
    | {"config.domain": TEXT, "streams": COUNT, "streams_leader": COUNT, "consumers": COUNT}
    | {"consumers_leader": COUNT, "messages": COUNT, "bytes": COUNT, "meta_cluster.name": TEXT}
    | {"meta_cluster.leader": TEXT, "meta_cluster.replicas": OTHER}
    | {"meta_cluster.cluster_size": COUNT, "server_id": TEXT, "now": TIME},
    ("acc", "accounts", "streams", "consumers", "config", "leader-only", "offset", "limit")
    + ("raft", "stream-leader-only"),
    _jetstream,
)
ACCOUNTZ = Page(
    "accountz",
    {"account_name": TEXT, "is_system": FLAG, "update_time": TIME, "expired": FLAG}
    | {"complete": FLAG, "jetstream_enabled": FLAG, "leafnode_connections": COUNT}
    | {"client_connections": COUNT, "subscriptions": COUNT}
    | {"mappings": OTHER, "imports": OTHER, "exports": OTHER},
    ("acc",),
    _accounts,
)
HEALTHZ = Page(
    "healthz",
    {"status": TEXT, "status_code": COUNT, "error": TEXT},
    ("js-enabled-only", "js-server-only", "js-meta-only", "account", "stream", "consumer")
    + ("details",),
    functools.partial(_one_row, "healthz"),
)
EVERY = (VARZ, CONNZ, ROUTEZ, PEERS, GATEWAYZ, LEAFZ, SUBSZ, SUBSCRIPTIONS, JSZ, ACCOUNTZ, HEALTHZ)
