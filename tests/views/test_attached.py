"""Systems that labkit did not start are seen as its own labs are, as far as one may see them."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import labkit
from labkit.attached import Attached
from labkit.servers import binary, ports
from labkit.servers.errors import LabError, ServerStateError
from labkit.servers.foreign import as_request
from labkit.servers.wait import wait_until
from labkit.views import monitor, observed, snapshot, topology_map

REGIONS = ("east", "north", "west")
LEAVES = 4  # a region
ACCOUNTS = """
accounts {
  SYS { users: [{user: admin, password: admin}] }
  APP { jetstream: enabled, users: [{user: app, password: app}] }
  OTHER { users: [{user: other, password: other}] }
}
system_account: SYS
"""
ADMIN, APP = {"user": "admin", "password": "admin"}, {"user": "app", "password": "app"}


@contextlib.contextmanager
def by_hand(files: Mapping[str, str], folder: Path) -> Iterator[None]:
    """Servers as somebody would start them in a terminal."""
    processes = []
    try:
        for name, text in files.items():
            path = folder / f"{name}.conf"
            path.write_text(text, "utf-8")
            command = [str(binary.find().path), "-c", str(path)]
            processes.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def supercluster() -> tuple[dict[str, str], list[str], str]:
    """Files of three clusters of three with twelve leaf nodes; their monitoring addresses; a client's URL."""
    count = 3 * len(REGIONS)
    free = iter(ports.free_ports(4 * count + count + 2 * LEAVES * len(REGIONS)))
    members = [(region, n) for region in REGIONS for n in (1, 2, 3)]
    routes, gates, hubs = ({member: next(free) for member in members} for _ in range(3))
    files, monitors, url = {}, [], ""

    def head(name: str) -> str:
        nonlocal url
        client, http = next(free), next(free)
        monitors.append(f"127.0.0.1:{http}")
        url = url or f"nats://127.0.0.1:{client}"
        listen = f"listen: 127.0.0.1:{client}\nhttp: 127.0.0.1:{http}\n"
        return f"server_name: {name}\n{listen}{ACCOUNTS}"

    def dial(where: Mapping[Any, int], region: str, scheme: str = "nats") -> str:
        return ", ".join(f'"{scheme}://127.0.0.1:{where[region, n]}"' for n in (1, 2, 3))

    remote = ", ".join(f"{{name: {r}, urls: [{dial(gates, r)}]}}" for r in REGIONS)
    for region, n in members:
        files[f"{region}-{n}"] = head(f"{region}-{n}") + (
            f"cluster {{ name: {region}, listen: 127.0.0.1:{routes[region, n]}\n"
            f"  routes: [{dial(routes, region)}] }}\n"
            f"gateway {{ name: {region}, listen: 127.0.0.1:{gates[region, n]}\n"
            f"  gateways: [{remote}] }}\n"
            f"leafnodes {{ listen: 127.0.0.1:{hubs[region, n]} }}\n"
        )
    for number in range(LEAVES * len(REGIONS)):
        region, n = REGIONS[number // LEAVES], number % 3 + 1
        hub = f"127.0.0.1:{hubs[region, n]}"
        files[f"shop-{number:02}"] = head(f"shop-{number:02}") + (
            f"leafnodes {{ remotes: [\n"
            f'  {{ url: "nats://app:app@{hub}", account: APP }}\n'
            f'  {{ url: "nats://admin:admin@{hub}", account: SYS }} ] }}\n'
        )
    return files, monitors, url


def is_whole(system: Attached) -> bool:
    """Whether all 21 servers are there, with 9 routes, 3 gateways and 24 leaf links."""
    with contextlib.suppress(LabError):
        system.refresh()
        kinds = [link.kind for link in observed.take(system).links if link.up]
        return len(system) == 21 and [kinds.count(k) for k in ("route", "gateway", "leaf")] == [
            *(9, 3),
            24,
        ]
    return False


def picture(seen: snapshot.Snapshot) -> str:
    """The map without what servers decide anew each time."""
    return topology_map.draw(snapshot.steady(seen)).svg


@pytest.mark.alone
def test_a_supercluster_that_was_started_by_hand_has_the_map_of_our_own(tmp_path: Path):
    files, addresses, url = supercluster()
    with by_hand(files, tmp_path), labkit.start(files) as lab:

        def attach() -> Attached | None:
            with contextlib.suppress(LabError):
                return labkit.attach(monitor=addresses)
            return None

        system = wait_until(attach, 30, "a server to answer")
        wait_until(lambda: is_whole(system), 60, "the whole supercluster")
        own = picture(snapshot.take(lab))
        for way in ({"monitor": addresses}, {"url": url, **ADMIN}):
            times = []
            for _ in range(3):
                began = time.perf_counter()
                with labkit.attach(**way) as attached:
                    drawn = attached.map()
                    times.append(time.perf_counter() - began)
                    assert drawn.summary == "21 servers, 36 links"
                    assert picture(observed.take(attached)) == own
            assert min(times) <= 1.0


@pytest.mark.parametrize("topology", ["cluster", "supercluster", "leaf-of-supercluster", "domains"])
def test_the_map_and_links_are_those_of_the_lab(topology: str):
    with labkit.start(topology) as lab:
        with labkit.attach(monitor=[server.address("http") for server in lab.values()]) as system:
            assert system.map().svg == lab.map().svg
            pairs = {(link.kind, link.a, link.b) for link in lab.links()}
            assert {(link.kind, link.a, link.b) for link in system.links()} == pairs
            assert sorted(system) == sorted(lab)


@pytest.fixture
def lab() -> Iterator[labkit.Lab]:
    files = {"n1": f"jetstream {{}}\n{ACCOUNTS}", "n2": ACCOUNTS}
    with labkit.start(files) as lab:
        yield lab


OPTIONS = {
    "connz": [{}, {"subs": True}, {"subs": "detail", "state": "all"}, {"state": "closed"}],
    "subscriptions": [{}, {"test": "a.b"}, {"acc": "APP"}],
    "jsz": [{}, {"accounts": True, "streams": True, "consumers": True, "config": True}],
    "accountz": [{}, {"acc": "APP"}],
    "gatewayz": [{}, {"accs": True}],
    "leafz": [{}, {"subs": True}],
}
MOVES = {"now", "uptime", "idle", "rtt", "cpu", "mem", "last_activity", "update_time"}
MOVES |= {"in_msgs", "out_msgs", "in_bytes", "out_bytes", "in_client_msgs", "num_matches"}
COMPARED = {"cid", "name", "account", "subject", "account_name", "streams", "server_name", "status"}


@pytest.mark.parametrize("page", [page.name for page in monitor.EVERY])
async def test_the_system_account_tells_what_the_monitoring_address_tells(
    page: str, lab: labkit.Lab
):
    client = await lab.connect("n1", name="ada", **APP)
    await client.jetstream().add_stream(name="S", subjects=["s.>"])
    await client.subscribe("a.*")
    await (await lab.connect("n1", name="gone", **APP)).close()
    system = await labkit.attach.aio(url=lab["n1"].url, **ADMIN)
    for options in OPTIONS.get(page, [{}]):
        there = getattr(system["n1"], page)(**options)
        here = getattr(lab["n1"], page)(**options)
        assert set(there.columns) == set(here.columns), options
        if page == "subscriptions":  # those of inboxes come and go
            there, here = (f[f["account"] == "APP"].reset_index() for f in (there, here))
        same = [column for column in here.columns if column in COMPARED]
        assert there[same].equals(here[same]), options
    await system.close.aio()
    await client.close()


async def test_a_client_sees_its_own_accounts_connections_and_streams(
    lab: labkit.Lab, capsys: pytest.CaptureFixture[str]
):
    mine = await lab.connect("n1", name="ada", **APP)
    theirs = await lab.connect("n1", name="bob", user="other", password="other")
    js = mine.jetstream()
    await js.add_stream(name="ORDERS", subjects=["orders.>"])
    await js.add_consumer("ORDERS", durable_name="kitchen")
    await js.publish("orders.1", b"tea")
    system = await labkit.attach.aio(url=lab["n1"].url, **APP)
    seen = await system.connz.aio(subs="detail")
    assert set(seen["name"]) == {"ada", "labkit-attached"}
    columns = ["account", "name", "messages", "num_replicas", "subjects"]
    assert (await system.streams.aio())[columns].equals((await lab.streams.aio())[columns])
    lag = (await system.consumers.aio("ORDERS")).iloc[0]
    assert (lag["name"], lag["num_pending"]) == ("kitchen", 1)
    drawn = await system.map.aio()
    assert "ada" in drawn.svg
    assert "bob" not in drawn.svg
    assert "labkit-attached" not in drawn.svg
    assert "links are told to the system account" in capsys.readouterr().out
    with pytest.raises(ServerStateError, match="n1 tells /varz to its system account.*APP"):
        await system.varz.aio()
    await system.close.aio()
    await mine.close()
    await theirs.close()


async def test_clients_traces_and_watches_work_on_an_attached_system(lab: labkit.Lab):
    system = await labkit.attach.aio(url=lab["n1"].url, **APP)
    client = await system.connect(name="ada")
    watched = labkit.watch(system)
    await client.publish("orders.1", b"tea")
    await client.flush()
    await watched.heard(1)
    watched.stop()
    assert "orders.1" in repr(watched)
    trace = await labkit.trace(client, "orders.1")
    assert trace.complete
    assert trace.events[0].name == "ada"
    await client.close()
    await system.close.aio()
    with pytest.raises(LabError, match="was closed; attach to it again"):
        labkit.watch(system)


async def test_services_are_found_by_their_subscriptions(lab: labkit.Lab):
    import nats.micro

    client = await lab.connect("n1", name="shop", **APP)
    service = await nats.micro.add_service(client, name="prices", version="1.0.0")
    await client.flush()
    with labkit.attach(url=lab["n1"].url, **ADMIN) as system:
        found = await system.services.aio()
    assert [(s.account, s.name, s.id) for s in found] == [("APP", "prices", service.id)]
    await client.close()


def test_a_server_that_goes_is_silent_and_comes_back():
    with labkit.start("cluster") as lab:
        addresses = [server.address("http") for server in lab.values()]
        with labkit.attach(monitor=addresses) as system:
            lab["n2"].kill()
            drawn = system.map()
            assert "n2 (stopped)" in drawn.summary
            assert system["n2"].state == "silent"
            assert system.varz().attrs["skipped"] == {"n2": "silent"}
            lab["n2"].start()
            lab.wait_usable()
            assert system.map().svg == lab.map().svg
            assert system["n2"].state == "running"


def test_what_would_break_a_system_is_refused():
    with labkit.start("single") as lab, labkit.attach(monitor=lab["n1"].address("http")) as system:
        for name in ("stop", "cut", "heal", "add", "run"):
            with pytest.raises(LabError, match=f"labkit did not start this system.*no {name}"):
                getattr(system, name)
        with pytest.raises(LabError, match="labkit did not start this system.*no kill"):
            system["n1"].kill()
        assert not hasattr(system, "kill")
        with pytest.raises(LabError, match="no server 'n2' in this system"):
            system["n2"]


def test_a_context_of_the_command_line_is_enough(tmp_path: Path, monkeypatch: Any, lab: labkit.Lab):
    folder = tmp_path / "nats" / "context"
    folder.mkdir(parents=True)
    (folder / "work.json").write_text(json.dumps({"url": lab["n1"].url, **ADMIN}), "utf-8")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with labkit.attach("work") as system:
        assert system.topology == "work"
        assert list(system) == ["n1"]
        assert "n1" in repr(system)
        assert "n1" in system._repr_html_()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"monitor": "127.0.0.1:1"}, "no server of 127.0.0.1:1 answers.*refused"),
        ({"monitor": "ftp://host"}, "'ftp://host' is no monitoring address"),
        ({"monitor": "host:port"}, "'host:port' is no monitoring address"),
        ({"context": "nobody"}, "there is no context 'nobody'"),
        ({"url": "nats://127.0.0.1:1"}, "no connection to nats://127.0.0.1:1"),
    ],
)
def test_what_cannot_be_attached_is_told(arguments: dict[str, Any], told: str):
    with pytest.raises(LabError, match=told):
        labkit.attach(**arguments)


async def test_only_monitoring_addresses_let_nobody_connect():
    with labkit.start("single") as lab:
        system = await labkit.attach.aio(monitor=lab["n1"].address("http"))
        with pytest.raises(LabError, match="by its monitoring addresses only"):
            await system.connect()


def test_options_of_pages_have_the_names_of_requests():
    assert as_request("connz", {"subs": "detail", "state": "closed", "auth": 1}) == {
        "subscriptions": True,
        "subscriptions_detail": True,
        "state": 1,
        "auth": True,
    }
    assert as_request("jsz", {"acc": "APP", "consumers": True, "leader-only": True}) == {
        "account": "APP",
        "consumer": True,
        "leader_only": True,
    }
