"""DataFrames of the monitoring pages: each figure is the servers' own, each column has its type."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Any

import pandas as pd
import pytest
from nats.js.errors import NoStreamResponseError, ServiceUnavailableError

import labkit
from labkit.servers import folders
from labkit.servers.durations import nanoseconds
from labkit.servers.errors import LabError, ServerStateError
from labkit.servers.wait import wait_until
from labkit.views import assets, monitor
from labkit.views.columns import COUNT, DURATION, FLAG, NUMBER, OTHER, TEXT, TIME

TYPES = {COUNT, NUMBER, TEXT, FLAG, OTHER, TIME, DURATION, "UInt64"}
LOGINS = {
    "accounts": {"user": "alice", "password": "alice"},
    "authentication-token": {"token": "s3cr3t"},
}
ONE = pd.Timedelta(1, unit="ns")
WANDERING = {"mem", "cpu", "http_req_stats"}  # up and down from one moment to the next

# Where a page's entries are in its JSON, and by what an entry is known.
ENTRIES = {
    "connz": ("connections", "cid", {"auth": 1}),
    "routez": ("routes", "rid", {}),
    "leafz": ("leafs", "id", {}),
}


def dotted(entry: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """The fields of nested objects under the names that the frames give them."""
    found: dict[str, Any] = {}
    for key, value in entry.items():
        if isinstance(value, dict) and key not in ("http_req_stats", "metadata"):
            found |= dotted(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


def in_type(raw: Any, kind: str, column: str) -> Any:
    """What the server said as a value of the column's type, by pandas' own reading."""
    if raw is None:
        return None
    if kind == DURATION:
        if column.endswith("_timeout"):
            return pd.Timedelta(raw, unit="s")
        return pd.Timedelta(raw, unit="ns") if isinstance(raw, int) else pd.Timedelta(raw)
    if kind == TIME:
        return None if raw.startswith("0001") else pd.Timestamp(raw)
    return raw


def assert_said(row: pd.Series, table: pd.DataFrame, before: dict[str, Any], after: dict[str, Any]):
    """Every field of the page is in the row, with a figure that lies between two readings of it."""
    for field, raw in dotted(before).items():
        if field in WANDERING:
            continue
        kind, shown = str(table[field].dtype), row[field]
        first, last = in_type(raw, kind, field), in_type(dotted(after).get(field), kind, field)
        if isinstance(first, list) and first and isinstance(first[0], dict):
            assert [part.keys() for part in shown] == [part.keys() for part in first], field
            assert [part.get("name") for part in shown] == [part.get("name") for part in first]
        elif first is None:
            assert pd.isna(shown), field
        elif kind in (COUNT, NUMBER, TIME, DURATION, "UInt64") and last is not None:
            low, high = sorted((first, last))
            if kind == DURATION:  # pandas reads "37.505188ms" by a float: it may lose a nanosecond
                low, high = low - ONE, high + ONE
            assert low <= shown <= high, field
        else:
            assert shown in (first, last), field


async def patiently(request: Callable[[], Awaitable[Any]]) -> Any:
    """The answer, asked for again while nobody answers: news of a leader takes a moment to arrive."""
    for _ in range(200):
        try:
            return await request()
        except (NoStreamResponseError, ServiceUnavailableError):
            await asyncio.sleep(0.01)
    return await request()


def assert_types(table: pd.DataFrame, columns: dict[str, str]):
    assert list(table)[: len(columns)] == list(columns)
    for name, kind in columns.items():
        assert str(table[name].dtype) == kind, name
    assert {str(kind) for kind in table.dtypes} <= TYPES


async def busy(lab: labkit.Lab) -> Any:
    """A client with a queue subscription, and where there is JetStream a stream with a consumer."""
    login = LOGINS.get(lab.topology, {})
    if lab.credentials:
        login = {"credentials": "host" if "host" in lab.credentials else min(lab.credentials)}
    nc = await lab.connect(**login)
    await nc.subscribe("orders.*", queue="workers")
    if next(iter(lab.values())).planned.jetstream:
        js = nc.jetstream()
        await js.add_stream(name="S", subjects=["s.>"])
        await patiently(lambda: js.publish("s.1", b"one"))
        await js.add_consumer("S", durable_name="C")
    await nc.flush()
    return nc


@pytest.mark.parametrize("name", folders.names())
async def test_every_figure_of_every_page_is_the_servers_own(name: str):
    with labkit.start(name) as lab:
        nc = await busy(lab)
        for server in lab.values():
            for assert_page in (
                assert_single_rows,
                assert_entries,
                assert_gateways,
                assert_accounts,
            ):
                assert_when_calm(assert_page, server)
        await nc.close()


def assert_when_calm(check: Callable[[Any], None], server: Any):
    """What changes between two readings is read once more; a wrong figure is wrong each time.

    Some fields are there for a moment only, such as the requests in flight.
    """
    for _ in range(8):
        try:
            return check(server)
        except (AssertionError, KeyError):
            continue
    return check(server)


def assert_single_rows(server: Any):
    for page in ("varz", "subsz", "jsz", "healthz"):
        before = server.monitor(page)
        table = getattr(server, page)()
        assert len(table) == 1
        assert_said(table.iloc[0], table, before, server.monitor(page))


def assert_entries(server: Any):
    for page, (entries, key, options) in ENTRIES.items():
        before, table = server.monitor(page, **options), getattr(server, page)()
        after = {e[key]: e for e in server.monitor(page, **options).get(entries) or []}
        rows = {row[key]: row for _, row in table.iterrows()}
        assert rows.keys() == after.keys() == {e[key] for e in before.get(entries) or []}
        for entry in before.get(entries) or []:
            assert_said(rows[entry[key]], table, entry, after[entry[key]])


def assert_gateways(server: Any):
    before, table, after = server.monitor("gatewayz"), server.gatewayz(), server.monitor("gatewayz")
    for name, said in before["outbound_gateways"].items():
        out = table[(table["direction"] == "outbound") & (table["gateway"] == name)]
        assert len(out) == 1
        later = after["outbound_gateways"][name]["connection"]
        assert_said(out.iloc[0], table, said["connection"], later)
    for name, said in before["inbound_gateways"].items():
        rows = table[(table["direction"] == "inbound") & (table["gateway"] == name)]
        assert set(rows["cid"]) == {gateway["connection"]["cid"] for gateway in said}


def assert_accounts(server: Any):
    table = server.accountz()
    said = server.monitor("accountz")
    assert list(table["account_name"]) == sorted(said["accounts"])
    assert list(table[table["is_system"]]["account_name"]) == [said["system_account"]]
    for _, row in table.iterrows():
        detail = server.monitor("accountz", acc=row["account_name"])["account_detail"]
        for field in ("client_connections", "leafnode_connections", "subscriptions"):
            assert row[field] == detail[field]


@pytest.mark.parametrize("name", folders.names())
async def test_every_column_has_its_type_also_in_an_empty_table(name: str):
    with labkit.start(name) as lab:
        nc = await busy(lab)
        for page in monitor.EVERY:
            whole = getattr(lab, page.name)()
            assert_types(whole, {"server": TEXT, **page.columns})
            assert set(whole["server"]) <= set(lab)
            for server in lab.values():
                assert_types(getattr(server, page.name)(), page.columns)
        assert_types(lab.streams(), assets.STREAMS)
        assert_types(lab.consumers(), assets.CONSUMERS)
        await nc.close()


def test_a_table_of_all_servers_has_the_rows_of_each():
    with labkit.start("cluster") as lab:
        pools = lambda: [len(server.routez()) for server in lab.values()]  # noqa: E731
        wait_until(lambda: pools() == [8, 8, 8], 10, "4 connections to each of 2 peers")
        whole = lab.peers()
        for name, server in lab.items():
            mine = whole[whole["server"] == name]
            assert set(mine["remote_name"]) == set(lab) - {name}
            routes = server.routez()
            for _, peer in mine.iterrows():
                of_peer = routes[routes["remote_name"] == peer["remote_name"]]
                assert peer["connections"] == len(of_peer) == 4
                assert peer["start"] == of_peer["start"].min()


def test_more_connections_than_a_page_holds_are_all_there():
    with labkit.start("single") as lab:
        server = lab["n1"]
        host, port = server.address("client").split(":")
        with ExitStack() as clients:
            clients_open = []
            for number in range(1100):
                client = clients.enter_context(socket.create_connection((host, int(port)), 5))
                clients_open.append(client)
                name = json.dumps({"verbose": False, "name": f"c{number}", "lang": "raw"})
                client.sendall(f"CONNECT {name}\r\nPING\r\n".encode())
            for client in clients_open:  # the server has taken its name once it answers
                while b"PONG" not in client.recv(4096):
                    pass
            table = server.connz()
            assert set(table["name"]) == {f"c{number}" for number in range(1100)}
            assert len(table) == 1100
            assert len(server.connz(limit=10)) == 10
        (closed,) = wait_until(lambda: all_closed(server), 10, "all 1,100 to be known as closed")
        assert closed["stop"].notna().all()
        assert closed["reason"].notna().all()


def all_closed(server: Any) -> list[pd.DataFrame]:
    """The closed connections, in a list, once they are the 1,100."""
    table = server.connz(state="closed")
    ours = table[table["name"].fillna("").str.startswith("c")]
    return [ours] if len(ours) == 1100 else []


async def test_subscriptions_come_a_row_each_with_their_owner():
    with labkit.start("single") as lab:
        nc = await lab.connect(name="reader")
        for number in range(1500):
            await nc.subscribe(f"many.{number}", queue="q" if number % 2 else "")
        await nc.flush()
        table = lab["n1"].subscriptions()
        mine = table[table["subject"].str.startswith("many.")]
        assert set(mine["subject"]) == {f"many.{number}" for number in range(1500)}
        assert (mine["qgroup"] == "q").sum() == 750
        (cid,) = mine["cid"].unique()
        connections = lab["n1"].connz(subs=True)
        row = connections[connections["cid"] == cid].iloc[0]
        assert row["name"] == "reader"
        assert set(row["subscriptions_list"]) == set(mine["subject"])
        assert len(lab["n1"].subscriptions(test="many.7")) == 1
        await nc.close()


async def test_tenants_show_their_accounts():
    with labkit.start("accounts") as lab:
        alice = await lab.connect(user="alice", password="alice")
        table = lab["n1"].connz()
        assert list(table["account"]) == ["TEAM_A"]
        assert list(table["authorized_user"]) == ["alice"]
        assert list(lab["n1"].accountz(acc="TEAM_A")["client_connections"]) == [1]
        with pytest.raises(LabError, match=r"n1 has no account 'TEAM_C'; there are: \$G, "):
            lab["n1"].accountz(acc="TEAM_C")
        await alice.close()


def test_an_option_that_is_not_there_has_its_sentence():
    with labkit.start("single") as lab:
        with pytest.raises(LabError, match="connz has no option 'sub'; did you mean 'subs'"):
            lab.connz(sub=True)
        with pytest.raises(ServerStateError, match="n1 does not answer /connz .*foo"):
            lab["n1"].connz(state="foo")
        assert lab["n1"].healthz(js_enabled_only=True)["status"].notna().all()


def test_servers_that_are_down_are_left_out_and_named(capsys: pytest.CaptureFixture[str]):
    with labkit.start("cluster") as lab:
        lab["n1"].stop()
        lab["n2"].pause()
        table = lab.varz()
        assert list(table["server"]) == ["n3"]
        assert table.attrs["skipped"] == {"n1": "stopped", "n2": "paused"}
        said = "Not in this table, since nothing answers there: n1 (stopped), n2 (paused).\n"
        assert capsys.readouterr().out == said
        assert lab.streams().attrs["skipped"] == {"n1": "stopped", "n2": "paused"}
        with pytest.raises(ServerStateError, match=r"n1 is stopped .*lab\['n1'\].start\(\) helps"):
            lab["n1"].varz()
        with pytest.raises(ServerStateError, match=r"n2 is paused .*lab\['n2'\].resume\(\) helps"):
            lab["n2"].connz()
        lab["n2"].resume()
        lab["n3"].kill()
        lab["n2"].kill()
        assert_types(lab.varz(), {"server": TEXT, **monitor.VARZ.columns})


async def test_streams_and_consumers_are_what_jetstream_says():
    with labkit.start("cluster") as lab:
        nc = await lab.connect()
        js = nc.jetstream()
        await js.add_stream(name="ORDERS", subjects=["orders.*"], num_replicas=3, max_age=3600)
        for number in range(7):
            await patiently(lambda: js.publish(f"orders.{number % 2}", b"x" * 10))  # noqa: B023
        await js.delete_msg("ORDERS", 3)
        reader = await js.pull_subscribe("orders.0", durable="EVEN", stream="ORDERS")
        first, _ = await patiently(lambda: reader.fetch(2))
        await first.ack_sync()
        current = lambda: list(lab.streams()["replicas_current"]) == [2]  # noqa: E731
        wait_until(current, 10, "both followers to be up to date")
        said = await js.stream_info("ORDERS")
        (row,) = [row for _, row in lab.streams().iterrows()]
        assert (row["name"], row["account"], row["subjects"]) == ("ORDERS", "$G", ["orders.*"])
        assert (
            (row["messages"], row["bytes"])
            == (said.state.messages, said.state.bytes)
            == (6, row["bytes"])
        )
        assert (row["first_seq"], row["last_seq"], row["num_deleted"]) == (1, 7, 1)
        assert row["last_ts"] > row["first_ts"] > row["created"]
        assert row["leader"] == said.cluster.leader
        assert row["replicas"] == sorted(peer.name for peer in said.cluster.replicas)
        assert (row["replicas_current"], row["num_replicas"], row["cluster"]) == (2, 3, "C1")
        assert (row["storage"], row["retention"]) == ("file", "limits")
        assert row["max_age"] == pd.Timedelta(hours=1)
        assert (row["consumer_count"], row["num_subjects"]) == (1, 2)
        info = await js.consumer_info("ORDERS", "EVEN")
        (row,) = [row for _, row in lab.consumers("ORDERS").iterrows()]
        assert (row["stream_name"], row["name"]) == ("ORDERS", "EVEN")
        assert row["filter_subjects"] == ["orders.0"]
        assert row["num_pending"] == info.num_pending
        assert row["num_ack_pending"] == info.num_ack_pending == 1
        assert row["num_redelivered"] == info.num_redelivered
        assert row["delivered.stream_seq"] == info.delivered.stream_seq
        assert row["ack_floor.stream_seq"] == info.ack_floor.stream_seq
        assert row["leader"] == info.cluster.leader
        assert (row["ack_policy"], row["ack_wait"]) == ("explicit", pd.Timedelta(seconds=30))
        with pytest.raises(
            LabError, match="no running server has a stream 'ORDER'; did you mean 'ORDERS'"
        ):
            lab.consumers("ORDER")
        lab[said.cluster.leader].kill()
        rest = [server for server in lab.values() if server.state == "running"]
        leader = wait_until(
            lambda: next(
                (
                    name
                    for name in lab.streams()["leader"].dropna()
                    if name in {s.name for s in rest}
                ),
                None,
            ),
            15,
            "a new leader of the stream",
        )
        assert leader != said.cluster.leader
        assert list(lab.streams()["messages"]) == [6]
        await nc.close()


async def test_streams_of_each_domain_are_told_apart():
    with labkit.start("domains") as lab:
        nc = await lab.connect("hub")
        for domain in ("hub", "leaf-1"):
            await nc.jetstream(domain=domain).add_stream(name="S", subjects=[f"{domain}.s"])
        table = lab.streams()
        assert list(zip(table["domain"], table["leader"], strict=True)) == [
            ("hub", "hub"),
            ("leaf-1", "leaf-1"),
        ]
        await nc.close()


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("0s", 0),
        ("635µs", 635_000),
        ("1.5ms", 1_500_000),
        ("2m3.25s", 123_250_000_000),
        ("1y2d3h4m5s", ((((365 + 2) * 24 + 3) * 60 + 4) * 60 + 5) * 1_000_000_000),
        (120_000_000_000, 120_000_000_000),
    ],
)
def test_durations_are_read_as_nats_server_writes_them(written: Any, wanted: int):
    assert nanoseconds(written) == wanted
