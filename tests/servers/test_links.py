"""Links between servers: cut, healed, delayed, and told as the servers themselves tell them."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import nats
import psutil
import pytest

import labkit
from labkit.servers import faults, launching
from labkit.servers.errors import LabError, TopologyError
from labkit.servers.wait import wait_until
from tests.rounds import ROUNDS

README = Path(__file__).parent.parent.parent / "README.md"
pytestmark = pytest.mark.usefixtures("own_temp")

RETRIES = 3  # attempts to dial again that a cut has to stand
RETRY_TIMEOUT = 20.0  # seconds for that many
FAST_PING = {  # a server measures a link's round trip with its pings, every two minutes by default
    "hub": "listen: 127.0.0.1:4222\nping_interval: 1\nleafnodes { listen: 127.0.0.1:7422 }",
    "leaf": "listen: 127.0.0.1:4223\nping_interval: 1\n"
    "leafnodes { remotes: [ { url: nats-leaf://127.0.0.1:7422 } ] }",
}


def up(lab: labkit.Lab) -> set[tuple[str, str, str]]:
    """The links that the servers say are up."""
    return {(link.kind, link.a, link.b) for link in lab.links() if link.up}


def the_link(lab: labkit.Lab, *pair: str):
    return next(link for link in lab.links() if {link.a, link.b} == set(pair))


async def heard(here, there) -> bool:
    """Whether a message published by one client reaches the other one within half a second."""
    subscription = await there.subscribe("heard")
    await there.flush()
    deadline = time.monotonic() + 0.5
    arrived = False
    while not arrived and time.monotonic() < deadline:  # interest takes a moment to cross
        await here.publish("heard", b"x")
        await here.flush()
        arrived = subscription.pending_msgs > 0
    await subscription.unsubscribe()
    return arrived


async def test_a_cut_leaf_hears_nothing_in_either_direction_until_healed():
    with labkit.start("leaf-nodes") as lab:
        hub, leaf = await lab.connect("hub"), await lab.connect("leaf")
        assert await heard(hub, leaf)
        assert await heard(leaf, hub)
        lab.cut("leaf", "hub")
        assert the_link(lab, "leaf", "hub").cut
        assert not the_link(lab, "leaf", "hub").up
        assert not await heard(hub, leaf)
        assert not await heard(leaf, hub)
        lab.heal()
        assert the_link(lab, "leaf", "hub").up
        assert not the_link(lab, "leaf", "hub").cut
        assert await heard(hub, leaf)
        assert await heard(leaf, hub)
        await hub.close()
        await leaf.close()


async def test_a_server_cut_off_from_its_cluster_cannot_write_and_catches_up_when_healed():
    with labkit.start("cluster") as lab:
        nc = await lab.connect("n1")
        await nc.jetstream().add_stream(name="S", subjects=["s"], num_replicas=3)
        await wait_for_publish(nc)
        lab.cut("n3", "n1")
        lab.cut("n3", "n2")
        assert up(lab) == {("route", "n1", "n2")}
        await wait_for_publish(nc)
        alone = await lab.connect("n3")
        with pytest.raises(nats.errors.Error):
            await alone.jetstream().publish("s", b"from the minority", timeout=2)
        lab.heal()
        assert len(up(lab)) == 3
        wait_until(lambda: messages(lab, "n3") == messages(lab, "n1") >= 2, 15, "n3 to catch up")
        await nc.close()
        await alone.close()


async def wait_for_publish(client) -> None:
    """Publish until the majority has a leader again, which takes an election."""
    deadline = time.monotonic() + 15
    while True:
        try:
            await client.jetstream().publish("s", b"from the majority", timeout=1)
            return
        except nats.errors.Error:
            assert time.monotonic() < deadline, "the majority did not go on"


def messages(lab: labkit.Lab, name: str) -> int:
    return int(lab[name].monitor("jsz").get("messages", 0))


def test_one_cut_can_be_healed_while_another_stays():
    with labkit.start("cluster") as lab:
        lab.cut("n3", "n1")
        lab.cut("n3", "n2")
        lab.heal("n3", "n2")
        assert up(lab) == {("route", "n1", "n2"), ("route", "n2", "n3")}
        lab.heal()
        assert len(up(lab)) == 3


async def test_a_cluster_cut_off_by_its_gateways_is_alone():
    with labkit.start("supercluster") as lab:
        lab.cut("east", "west")
        east, west = await lab.connect("east-1"), await lab.connect("west-1")
        assert not [link for link in lab.links() if link.up and joins(link, "east", "west")]
        assert not await heard(east, west)
        lab.heal()
        assert [link for link in lab.links() if link.up and joins(link, "east", "west")]
        assert await heard(east, west)
        await east.close()
        await west.close()


def joins(link, *clusters: str) -> bool:
    return link.kind == "gateway" and {link.a.split("-")[0], link.b.split("-")[0]} == set(clusters)


def test_nothing_goes_around_a_cut_by_gossip():
    """Servers tell each other addresses: none of those may lead around the forwarder."""
    with labkit.start("cluster") as lab:
        lab.cut("n3", "n1")
        tried = {name: attempts(lab, name) for name in ("n1", "n3")}
        wait_until(
            lambda: sum(attempts(lab, n) - tried[n] for n in tried) >= RETRIES,
            RETRY_TIMEOUT,
            "the servers to dial each other again",
        )
        assert up(lab) == {("route", "n1", "n2"), ("route", "n2", "n3")}


def attempts(lab: labkit.Lab, name: str) -> int:
    """How many connections to a route or leaf node the server's log tells of."""
    return len(lab[name].log.find(r"Error trying to connect|Router connection|connection closed"))


def test_every_connection_between_servers_goes_through_the_forwarder():
    for name in ("cluster", "supercluster", "leaf-nodes"):
        with labkit.start(name) as lab:
            listening = {
                port
                for server in lab.values()
                for kind, port in server.planned.addresses.items()
                if kind in ("cluster", "gateway", "leafnodes")
            }
            for server in lab.values():
                dialed = {
                    c.raddr.port
                    for c in psutil.Process(server.pid).net_connections(kind="tcp")
                    if c.raddr and c.status == psutil.CONN_ESTABLISHED
                }
                assert not dialed & listening, f"{server.name} dials another server directly"


def test_a_cut_outlives_a_restart_of_either_end():
    with labkit.start("leaf-nodes") as lab:
        lab.cut("leaf", "hub")
        for name in ("hub", "leaf"):
            lab[name].restart()
            tried = len(lab["leaf"].log.find("Error trying to connect|Leafnode connection"))
            wait_until(
                lambda tried=tried: (
                    len(lab["leaf"].log.find("Error trying to connect|Leafnode connection")) > tried
                ),
                RETRY_TIMEOUT,
                "the leaf to dial again",
            )
            assert up(lab) == set()
            assert the_link(lab, "leaf", "hub").cut
        lab.heal()
        assert up(lab) == {("leaf", "leaf", "hub")}


def test_a_server_added_to_a_running_lab_can_be_cut_off_too():
    with labkit.start("leaf-nodes") as lab:
        lab.add("second", "leafnodes { remotes: [ { url: nats-leaf://127.0.0.1:7422 } ] }")
        lab.cut("second", "hub")
        assert up(lab) == {("leaf", "leaf", "hub")}
        lab.heal()
        assert up(lab) == {("leaf", "leaf", "hub"), ("leaf", "second", "hub")}


@pytest.mark.alone
@pytest.mark.parametrize(("name", "leaf"), [("leaf-nodes", "leaf"), ("domains", "leaf-1")])
async def test_a_delay_is_added_each_way_and_zero_removes_it(name: str, leaf: str):
    with labkit.start(name) as lab:
        hub, there = await lab.connect("hub"), await lab.connect(leaf)

        async def answer(message):
            await message.respond(message.data)

        await hub.subscribe("echo", cb=answer)
        await hub.flush()
        assert await fastest(there) < 0.05
        lab.delay(leaf, "hub", 60)
        assert the_link(lab, leaf, "hub").delay == 60
        assert 0.12 <= await fastest(there) < 0.24
        lab.delay(leaf, "hub", 0)
        assert the_link(lab, leaf, "hub").delay == 0
        assert await fastest(there) < 0.05
        await hub.close()
        await there.close()


def interest_of_the_hub(lab: labkit.Lab) -> list[str]:
    (link,) = lab["leaf"].monitor("leafz", subs=True)["leafs"]
    return link.get("subscriptions_list", [])


async def fastest(client) -> float:
    """Seconds of the fastest of five requests that were answered."""
    took = []
    deadline = time.monotonic() + 10
    while len(took) < 5:
        assert time.monotonic() < deadline, "nobody answered"
        began = time.perf_counter()
        try:
            await client.request("echo", b"x", timeout=2)
        except nats.errors.NoRespondersError:
            continue
        took.append(time.perf_counter() - began)
    return min(took)


def test_the_servers_measure_a_delay_as_round_trip():
    with labkit.start(FAST_PING) as lab:
        assert (the_link(lab, "leaf", "hub").rtt or 0) < 40
        lab.delay("leaf", "hub", 40)
        wait_until(lambda: (the_link(lab, "leaf", "hub").rtt or 0) >= 80, 15, "a slower round trip")


async def test_bytes_keep_their_order_when_a_delay_changes():
    with labkit.start("leaf-nodes") as lab:
        hub, leaf = await lab.connect("hub"), await lab.connect("leaf")
        assert await heard(leaf, hub)
        subscription = await hub.subscribe("n")
        await hub.flush()
        wait_until(lambda: "n" in interest_of_the_hub(lab), 5, "the hub's interest at the leaf")
        for number in range(3000):
            if number % 500 == 0:
                lab.delay("leaf", "hub", [40, 0, 15][number // 500 % 3])
            await leaf.publish("n", str(number).encode())
        await leaf.flush()
        got = [int((await subscription.next_msg(timeout=5)).data) for _ in range(3000)]
        assert got == list(range(3000))
        await hub.close()
        await leaf.close()


async def test_a_link_whose_far_end_is_frozen_holds_little_in_memory():
    """The server drops what a slow link does not take; the forwarder must not gather it."""
    with labkit.start("leaf-nodes") as lab:
        hub, leaf = await lab.connect("hub"), await lab.connect("leaf")
        assert await heard(leaf, hub)
        await hub.subscribe("flood")
        await hub.flush()
        process = guard_of(lab)
        before = process.memory_info().rss
        lab["hub"].pause()
        for _ in range(64):
            for _ in range(16):
                await leaf.publish("flood", bytes(65_536))
            await leaf.flush(timeout=10)
        assert process.memory_info().rss - before < 24_000_000
        lab["hub"].resume()
        await hub.close()
        await leaf.close()


def guard_of(lab: labkit.Lab) -> psutil.Process:
    """The process whose forwarder stands in the links of this lab."""
    guard = psutil.Process(lab["hub"].pid).parent()
    assert guard
    return guard


def test_the_forwarder_listens_on_loopback_only():
    with labkit.start("leaf-nodes") as lab:
        found = guard_of(lab).net_connections(kind="inet")
        listening = [c.laddr.ip for c in found if c.status == psutil.CONN_LISTEN]
        assert listening
        assert all(ipaddress.ip_address(ip).is_loopback for ip in listening)


def test_a_killed_owner_leaves_no_forwarder(own_temp):
    code = (
        "import json, sys, labkit, psutil\n"
        "lab = labkit.start('leaf-nodes')\n"
        "lab.cut('leaf', 'hub')\n"
        "guard = psutil.Process(lab['hub'].pid).parent()\n"
        "print(json.dumps([guard.pid, *[p.pid for p in guard.children()]]), flush=True)\n"
        "sys.stdin.read()\n"
    )
    environment = os.environ | {"TMPDIR": str(own_temp)}
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    ) as owner:
        pids = json.loads(owner.stdout.readline())
        assert len(pids) == 3  # guard and two servers
        owner.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
        owner.wait()
    wait_until(lambda: not any(map(psutil.pid_exists, pids)), 5, "the lab's processes to end")
    wait_until(lambda: not list(own_temp.iterdir()), 5, "the run's folder to go")


def test_each_link_of_a_cluster_is_cut_again_and_again_and_heals():
    with labkit.start("cluster") as lab:
        everything = up(lab)
        pairs = [("n1", "n2"), ("n1", "n3"), ("n2", "n3")]
        for pair in pairs * max(2, ROUNDS - 1):
            lab.cut(*pair)
            assert up(lab) == everything - {("route", *pair)}
            lab.heal()
            assert up(lab) == everything


def test_servers_that_dial_directly_cannot_be_cut_and_say_so():
    with (
        labkit.start("leaf-nodes", links="direct") as lab,
        pytest.raises(TopologyError, match='dial each other directly.*links="direct"'),
    ):
        lab.cut("leaf", "hub")


def test_healing_one_link_removes_its_delay_and_leaves_that_of_another():
    with labkit.start("cluster") as lab:
        lab.delay("n1", "n2", 20)
        lab.delay("n1", "n3", 30)
        lab.heal("n1", "n2")
        assert (the_link(lab, "n1", "n2").delay, the_link(lab, "n1", "n3").delay) == (0, 30)


@pytest.fixture
def tls(tmp_path) -> str:
    """A tls block with a certificate of its own, for 127.0.0.1."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command to make a certificate with")
    make = (
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    )
    more = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(["openssl", *make.split(), *more], cwd=tmp_path, check=True, capture_output=True)
    cert, key = (tmp_path / "cert.pem").as_posix(), (tmp_path / "key.pem").as_posix()
    return f'tls {{ cert_file: "{cert}", key_file: "{key}", ca_file: "{cert}" }}'


def encrypted_leaf(tls: str) -> str:
    return f'leafnodes {{ remotes: [ {{ url: "tls://127.0.0.1:7422", {tls} }} ] }}'


def test_the_only_encrypted_link_of_a_server_is_cut_and_delayed_like_any(tls):
    hub = f"ping_interval: 1\nleafnodes {{ listen: 127.0.0.1:7422\n{tls} }}"
    with labkit.start({"hub": hub, "leaf": encrypted_leaf(tls)}) as lab:
        lab.cut("leaf", "hub")
        assert up(lab) == set()
        lab.heal()
        assert up(lab) == {("leaf", "leaf", "hub")}
        lab.delay("leaf", "hub", 40)
        wait_until(lambda: (the_link(lab, "leaf", "hub").rtt or 0) >= 80, 15, "a slower round trip")


def test_encrypted_links_that_cannot_be_told_apart_are_refused_and_stay_up(tls):
    hub = f"leafnodes {{ listen: 127.0.0.1:7422\n{tls} }}"
    leaves = {"leaf-1": encrypted_leaf(tls), "leaf-2": encrypted_leaf(tls)}
    with labkit.start({"hub": hub, **leaves}) as lab:
        says = "hub–leaf-1 cannot be told from hub–leaf-2: hub has tls in its leafnodes block"
        with pytest.raises(TopologyError, match=says):
            lab.cut("leaf-1", "hub")
        with pytest.raises(TopologyError, match=says):
            lab.delay("leaf-1", "hub", 30)
        assert len(up(lab)) == 2
        assert not [link for link in lab.links() if link.cut or link.delay]


def test_servers_on_well_known_ports_say_that_they_cannot_be_cut():
    free = {
        "hub": "listen: 127.0.0.1:14222\nleafnodes { listen: 127.0.0.1:17422 }",
        "leaf": "leafnodes { remotes: [ { url: nats-leaf://127.0.0.1:17422 } ] }",
    }
    with (
        labkit.start(free, ports="well-known") as lab,
        pytest.raises(TopologyError, match='start it without ports="well-known"'),
    ):
        lab.cut("leaf", "hub")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda lab: lab.cut("n1", "n9"), "no server 'n9' in this lab"),
        (lambda lab: lab.cut("n1", "n1"), "there is no link between n1 and n1; there are n1–n2"),
        (lambda lab: lab.delay("n1", "n2", -5), "a delay of -5 ms cannot be"),
        (lambda lab: lab.delay("n1", "n2", "20"), "a delay of '20' ms cannot be"),
        (lambda lab: lab.heal("n1", "n9"), "no server 'n9' in this lab"),
        (lambda lab: lab.heal("n1"), "a link has two ends and only n1 is given"),
    ],
)
def test_what_cannot_be_broken_is_told(call, says):
    with labkit.start("cluster") as lab:
        with pytest.raises(LabError, match=re.escape(says)):
            call(lab)
        assert len(up(lab)) == 3


def test_a_link_to_a_server_that_is_down_is_told_as_down_and_can_be_cut():
    with labkit.start("leaf-nodes") as lab:
        lab["hub"].stop()
        assert not the_link(lab, "leaf", "hub").up
        lab.cut("leaf", "hub")
        lab["hub"].start()
        assert up(lab) == set()
        lab.heal()
        wait_until(lambda: up(lab) == {("leaf", "leaf", "hub")}, 15, "the leaf to come back")


def test_a_cut_that_the_forwarder_did_not_take_is_told_and_not_remembered(monkeypatch):
    monkeypatch.setattr(faults, "ANSWER_TIMEOUT", 0.2)
    with labkit.start("leaf-nodes") as lab:
        guard = guard_of(lab)
        guard.suspend()
        with pytest.raises(LabError, match="forwarder .* does not answer; .* Start the lab again"):
            lab.cut("leaf", "hub")
        guard.resume()
        assert not lab.events
        assert not lab.cuts


def test_a_cut_after_the_guard_was_killed_says_that_the_lab_is_gone():
    with labkit.start("leaf-nodes") as lab:
        guard_of(lab).kill()
        with pytest.raises(LabError, match="the guard of this lab is gone.* Start the lab again"):
            lab.cut("leaf", "hub")
        assert not lab.events


def test_a_stopped_lab_has_no_links_to_break():
    lab = labkit.start("leaf-nodes")
    lab.stop()
    for call in (lambda: lab.cut("leaf", "hub"), lambda: lab.delay("leaf", "hub", 1), lab.heal):
        with pytest.raises(TopologyError, match="this lab is stopped"):
            call()


def test_a_lab_remembers_when_it_broke_and_mended_what():
    with labkit.start("leaf-nodes") as lab:
        lab.cut("leaf", "hub")
        lab.heal()
        lab["hub"].pause()
        lab["hub"].resume()
        lab["leaf"].kill()
        lab["leaf"].start()
        events = list(lab.events)
        assert [event.what for event in events] == [
            "cut", "heal", "pause", "resume", "kill", "start",
        ]  # fmt: skip
        assert events[0].names == ("leaf", "hub")
        assert all(event.time.utcoffset() == timedelta(0) for event in events)
        assert [event.time for event in events] == sorted(event.time for event in events)


def test_the_readme_breaks_and_mends_links():
    blocks = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    (script,) = [block for block in blocks if "lab.cut(" in block]
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    table = [line.split() for line in done.stdout.splitlines() if line.startswith("route")]
    state = {(row[1], row[2]): row[3] for row in table}
    assert state == {("n1", "n2"): "yes", ("n1", "n3"): "no", ("n2", "n3"): "no"}
    assert "cut n3–n1" in done.stdout


def test_a_port_that_was_taken_before_the_forwarder_listened_is_chosen_anew(monkeypatch):
    choices = []

    def choose(planned):
        choices.append(real(planned))
        return dict.fromkeys(choices[-1], port) if len(choices) == 1 else choices[-1]

    real = launching._choose_dialed
    monkeypatch.setattr(launching, "_choose_dialed", choose)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with labkit.start("leaf-nodes") as lab:
            assert up(lab) == {("leaf", "leaf", "hub")}
    assert len(choices) == 2


def test_when_every_chosen_port_was_taken_the_lab_says_so(monkeypatch, own_temp):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        real = launching._choose_dialed
        monkeypatch.setattr(launching, "_choose_dialed", lambda p: dict.fromkeys(real(p), port))
        with pytest.raises(
            TopologyError, match=f"port {port}, .* was taken meanwhile; start it again"
        ):
            labkit.start("leaf-nodes")
    assert not list(own_temp.iterdir())


def in_cluster(number: int, more: str = "", top: str = "") -> str:
    """A server of a cluster of two that leaf nodes may dial."""
    routes = "[nats-route://127.0.0.1:6222, nats-route://127.0.0.1:6223]"
    return (
        f"listen: 127.0.0.1:{4222 + number}\n{top}\n"
        f"cluster {{ name: C1, listen: 127.0.0.1:{6222 + number}, routes: {routes}, {more} }}\n"
        f"leafnodes {{ listen: 127.0.0.1:{7422 + number} }}\n"
    )


@pytest.mark.parametrize("urls", ["7422, 7423", "7422"])
def test_a_leaf_node_that_may_dial_several_servers_has_one_link(urls):
    """One to a server that its file does not name, too, when the first has told it of that."""
    remotes = ", ".join(f"nats-leaf://127.0.0.1:{port}" for port in urls.split(", "))
    leaf = f"leafnodes {{ remotes: [ {{ urls: [{remotes}] }} ] }}"
    with labkit.start({"h1": in_cluster(0), "h2": in_cluster(1), "leaf": leaf}) as lab:
        for _ in range(2):
            (link,) = [link for link in lab.links() if link.kind == "leaf"]
            assert link.up
            lab.cut("leaf", link.b)
            assert sum(link.kind == "leaf" and link.up for link in lab.links()) <= 1
            lab.heal()
            wait_until(lambda: len(lab.links()) == 2, 15, "the leaf node to have one link")


@pytest.mark.parametrize(
    ("more", "top", "count"),
    [
        ("", "", 4),
        ("pool_size: 1", "", 2),
        ("pool_size: -1", "", 1),
        ("", "no_sys_acc: true", 3),
    ],
)
def test_start_returns_when_each_route_has_all_of_its_connections(more, top, count):
    with labkit.start({"h1": in_cluster(0, more, top), "h2": in_cluster(1, more, top)}) as lab:
        for server in lab.values():
            assert len(server.monitor("routez")["routes"]) == count


def test_links_to_servers_outside_of_the_lab_are_told_by_their_names():
    with (
        labkit.start({"theirs": "leafnodes { listen: 127.0.0.1:7422 }"}) as theirs,
        labkit.start({"ours": "leafnodes { listen: 127.0.0.1:7422 }"}) as ours,
    ):
        outside = theirs["theirs"].address("leafnodes")
        edge = f'server_name: edge, leafnodes {{ remotes [{{ url: "nats-leaf://{outside}" }}] }}'
        ours.add("edge", edge)
        (link,) = ours.links()
        assert (link.kind, link.a, link.b, link.up, link.cut) == (
            "leaf",
            "edge",
            "theirs",
            True,
            False,
        )
        (link,) = theirs.links()
        assert (link.a, link.b) == ("edge", "theirs")
        with pytest.raises(LabError, match="no server 'theirs' in this lab"):
            ours.cut("edge", "theirs")


GATEWAYS = {
    "east": """
        gateway { name: EAST, listen: 127.0.0.1:7222,
                  gateways [{ name: WEST, url: "nats://127.0.0.1:7223" }] }""",
    "west": """
        gateway { name: WEST, listen: 127.0.0.1:7223,
                  gateways [{ name: EAST, url: "nats://127.0.0.1:7222" }] }""",
}


def test_gateways_without_a_cluster_block_are_read_cut_and_healed():
    with labkit.start(GATEWAYS) as lab:
        (link,) = lab.links()
        assert (link.kind, link.a, link.b, link.up) == ("gateway", "east", "west", True)
        lab.cut("EAST", "WEST")
        assert {(ln.b, ln.up, ln.cut) for ln in lab.links()} == {
            ("EAST", False, True),
            ("WEST", False, True),
        }
        lab.heal()
        (link,) = lab.links()
        assert link.up and not link.cut
