"""Topologies: usable when start returns, on loopback only, changed while they run."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import shutil
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import nats
import psutil
import pytest

import labkit
from labkit.servers import credentials, folders, placement
from labkit.servers.errors import ConfigError, TopologyError
from labkit.servers.wait import wait_until

pytestmark = pytest.mark.usefixtures("own_temp")

README = Path(__file__).parent.parent.parent / "README.md"
FOURTH = """
listen: 127.0.0.1:4225
cluster {
  name: C1
  listen: 127.0.0.1:6225
  routes: [ nats-route://127.0.0.1:6222 ]
}
jetstream { store_dir: "./store" }
"""
SECOND_LEAF = "leafnodes { remotes: [ { url: nats-leaf://127.0.0.1:7422 } ] }"


def listening(process: psutil.Process) -> list[str]:
    """The addresses that a process listens on."""
    found = process.net_connections(kind="inet")
    return [c.laddr.ip for c in found if c.status == psutil.CONN_LISTEN]


@pytest.mark.parametrize("name", folders.names())
def test_every_listener_of_a_topology_is_on_loopback(name: str):
    with labkit.start(name) as lab:
        for server in lab.values():
            opened = listening(psutil.Process(server.pid))
            assert len(opened) == len(server.planned.addresses)
        family = psutil.Process(lab._guard.pid).children(recursive=True)  # the forwarder too
        assert {server.pid for server in lab.values()} <= {process.pid for process in family}
        for address in (address for process in family for address in listening(process)):
            assert ipaddress.ip_address(address).is_loopback


async def test_a_cluster_takes_a_stream_of_its_size_at_the_first_try():
    for name, size in [("cluster", 3), ("cluster-of-five", 5)]:
        with labkit.start(name) as lab:
            nc = await lab.connect()
            stream = await nc.jetstream().add_stream(name="S", subjects=["s"], num_replicas=size)
            assert len(stream.cluster.replicas) == size - 1
            await nc.close()


async def test_the_probing_of_a_cluster_leaves_no_stream_behind():
    with labkit.start("cluster") as lab:
        nc = await lab.connect()
        assert await nc.jetstream().streams_info() == []
        await nc.close()


async def test_a_message_crosses_every_link_of_a_topology_at_once():
    for name, here, there in [
        ("cluster", "n1", "n3"),
        ("leaf-nodes", "leaf", "hub"),
        ("supercluster", "east-1", "west-2"),
        ("leaf-of-supercluster", "leaf", "west"),
    ]:
        with labkit.start(name) as lab:
            responder, asker = await lab.connect(there), await lab.connect(here)

            async def answer(message):
                await message.respond(b"here")

            await responder.subscribe("where", cb=answer)
            await responder.flush()
            reply = await _ask(asker)
            assert reply.data == b"here", name
            await responder.close()
            await asker.close()


async def _ask(client):
    """Ask until the new interest has reached the asker's server; links are up, news takes a moment."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await client.request("where", timeout=1)
            except nats.errors.NoRespondersError:
                await asyncio.sleep(0.005)


async def test_each_domain_keeps_its_own_streams():
    with labkit.start("domains") as lab:
        nc = await lab.connect("leaf-1")
        for domain in ("hub", "leaf-1"):
            await nc.jetstream(domain=domain).add_stream(name="S", subjects=[f"{domain}.s"])
            info = await nc.jetstream(domain=domain).stream_info("S")
            assert info.config.subjects == [f"{domain}.s"]
        await nc.close()


async def test_tenants_do_not_hear_each_other():
    with labkit.start("accounts") as lab:
        alice = await lab.connect(user="alice", password="alice")
        bob = await lab.connect(user="bob", password="bob")
        heard = await bob.subscribe(">")
        await bob.flush()
        await alice.publish("secret", b"x")
        await alice.flush()
        await bob.flush()
        assert heard.pending_msgs == 0
        await alice.close()
        await bob.close()


async def test_a_token_opens_and_its_absence_does_not():
    with labkit.start("authentication-token") as lab:
        await (await lab.connect(token="s3cr3t")).close()
        with pytest.raises((nats.errors.Error, TopologyError)):
            await lab.connect(token="wrong", max_reconnect_attempts=0)


def test_a_server_speaks_websocket():
    hello = (
        "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    with labkit.start("websocket") as lab:
        host, port = lab["n1"].address("websocket").split(":")
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(hello.encode())
            answer = b""
            while b'"server_name":"n1"' not in answer:
                answer += connection.recv(4096)
        assert answer.startswith(b"HTTP/1.1 101 ")


async def test_a_mapping_sends_some_orders_to_the_second_version():
    with labkit.start("mapping") as lab:
        nc = await lab.connect()
        first = await nc.subscribe("orders.check.v1")
        second = await nc.subscribe("orders.check.v2")
        for _ in range(1000):
            await nc.publish("orders.check")
        await nc.flush()
        assert first.pending_msgs + second.pending_msgs == 1000
        assert 40 < second.pending_msgs < 180
        await nc.close()


async def test_a_server_joins_a_running_cluster_and_leaves_it():
    with labkit.start("cluster") as lab:
        added = lab.add("n4", FOURTH)
        assert list(lab) == ["n1", "n2", "n3", "n4"]
        peers = {r["remote_name"] for r in added.monitor("routez")["routes"]}
        assert peers == {"n1", "n2", "n3"}
        nc = await lab.connect("n4")
        await nc.close()
        lab.remove("n4")
        assert "n4" not in lab


def test_a_leaf_joins_a_running_hub():
    with labkit.start("leaf-nodes") as lab:
        lab.add("second", SECOND_LEAF)
        assert lab["hub"].monitor("leafz")["leafnodes"] == 2


def test_an_added_server_that_fails_leaves_the_lab_as_it_was():
    with labkit.start("leaf-nodes") as lab:
        with pytest.raises(ConfigError, match="new.conf:1: no server of this topology listens"):
            lab.add("new", "leafnodes { remotes: [ { url: nats-leaf://127.0.0.1:7999 } ] }")
        with pytest.raises(ConfigError, match="both use port 4222"):
            lab.add("new", "listen: 127.0.0.1:4222")
        with pytest.raises(ConfigError, match="both name their server 'hub'"):
            lab.add("hub", "")
        with pytest.raises(TopologyError, match='new.conf:1: unknown field "foo"'):
            lab.add("new", "foo: 1")
        assert list(lab) == ["hub", "leaf"]
        lab.add("new", SECOND_LEAF)


@pytest.mark.parametrize("how", ["kill", "stop"])
async def test_a_cluster_lives_on_without_one_server_and_takes_it_back(how: str):
    with labkit.start("cluster") as lab:
        getattr(lab["n2"], how)()
        nc = await lab.connect("n1")
        wait_until(
            lambda: lab["n1"].monitor("jsz")["meta_cluster"].get("leader"),
            15,
            "a leader of the rest",
        )
        lab["n2"].start()
        wait_until(
            lambda: (
                {r["remote_name"] for r in lab["n2"].monitor("routez")["routes"]} == {"n1", "n3"}
            ),
            15,
            "n2 to be back",
        )
        await nc.close()


async def test_a_changed_file_is_taken_without_losing_a_connection():
    text = "listen: 127.0.0.1:4222\nmax_payload: {}\n"
    with labkit.start({"n1": text.format(1000)}) as lab:
        nc = await lab.connect()
        before = lab["n1"].monitor("connz")["connections"][0]["cid"]
        lab["n1"].reload(text.format(2000))
        assert lab["n1"].monitor("varz")["max_payload"] == 2000
        assert lab["n1"].monitor("connz")["connections"][0]["cid"] == before
        assert "max_payload: 2000" in lab["n1"].config
        await nc.close()


def test_a_file_that_the_server_refuses_changes_nothing():
    text = "listen: 127.0.0.1:4222\nmax_payload: 1000\n"
    with labkit.start({"n1": text}) as lab:
        with pytest.raises(ConfigError, match='n1 keeps the file that it had: n1.conf:2: .*"foo"'):
            lab["n1"].reload("listen: 127.0.0.1:4222\nfoo: 1\n")
        assert lab["n1"].config == text
        lab["n1"].reload()
        assert lab["n1"].monitor("varz")["max_payload"] == 1000


async def test_a_lame_duck_sends_its_clients_away_and_ends():
    text = "lame_duck_grace_period: '1s'\n"
    with labkit.start({"n1": text}) as lab:
        lab["n1"].lame_duck()
        wait_until(lambda: lab["n1"].state == "stopped", 10, "the lame duck to end")
        assert lab["n1"].log.find("lame duck mode")


def test_a_cluster_without_quorum_is_told_and_leaves_nothing():
    with socket.create_server(("127.0.0.1", 0)) as mute:  # takes connections, and is no server
        port = mute.getsockname()[1]
        lonely = {
            "n1": "listen: 127.0.0.1:4222\ncluster { name: C1, listen: 127.0.0.1:6222\n"
            f" routes: [nats-route://127.0.0.1:6222, nats-route://127.0.0.1:{port}] }}\n"
            "jetstream: enabled"
        }
        with pytest.raises(
            TopologyError, match=r"not usable after 1\.\d* s.*n1 to know JetStream's leader"
        ):
            labkit.start(lonely, timeout=1.5)


def test_the_fixtures_work_in_somebody_elses_project_as_the_readme_shows(pytester: pytest.Pytester):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    (example,) = [block for block in blocks if "def test_" in block]
    pytester.makepyfile(
        example + "\n\ndef test_three(nats_cluster, nats_cluster_session, nats_server_session):\n"
        "    assert len(nats_cluster) == len(nats_cluster_session) == 3\n"
    )
    pytester.runpytest_subprocess("-p", "no:nbval", "-q").assert_outcomes(passed=3)


def test_the_script_in_the_readme_runs():
    blocks = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    (script,) = [block for block in blocks if "asyncio.run(main(lab))" in block]
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "nats://127.0.0.1:" in done.stdout
    assert "b'world'" in done.stdout


def test_the_readme_names_every_topology():
    text = README.read_text("utf-8")
    assert [name for name in folders.names() if f"`{name}`" not in text] == []


CLUSTER = """
{more}
jetstream: enabled
cluster {{
  name: C, listen: 127.0.0.1:{port}
  routes: [nats://127.0.0.1:6222, nats://127.0.0.1:6223, nats://127.0.0.1:6224]
}}
"""


@pytest.mark.parametrize(
    "more",
    [
        "U: ada\nP: secret\nauthorization { user: $U, password: $P }",
        "authorization { users: [ {user: a, password: b, permissions: {publish: x}} ] }",
    ],
)
def test_a_cluster_is_usable_whose_users_are_variables_or_may_make_no_stream(more: str):
    texts = {f"n{i}": CLUSTER.format(more=more, port=6222 + i) for i in range(3)}
    with labkit.start(texts) as lab:
        assert len([link for link in lab.links() if link.up]) == 3


def test_a_server_is_called_what_its_variable_stands_for():
    with labkit.start({"x": "NAME: n1\nserver_name: $NAME\n"}) as lab:
        assert list(lab) == ["n1"]


def test_a_leaf_that_dials_the_other_loopback_is_waited_for():
    hub = "leafnodes { listen: '[::1]:7422' }"
    leaf = "leafnodes { remotes: [ {url: 'nats-leaf://[::1]:7422'} ] }"
    with labkit.start({"hub": hub, "leaf": leaf}) as lab:
        assert [(link.a, link.b, link.up) for link in lab.links()] == [("leaf", "hub", True)]


def test_monitoring_below_a_path_is_found():
    with labkit.start({"n1": "http_base_path: /nats/"}) as lab:
        assert lab["n1"].monitor("varz")["server_name"] == "n1"


def certificate(folder: Path) -> None:
    """Put a certificate for 127.0.0.1 and its key in a folder."""
    folder.mkdir()
    recipe = folder / "credentials.toml"
    recipe.write_text("[certificates]\nclients = []\n")
    credentials.make(recipe, folder)


async def test_a_server_that_speaks_only_under_encryption_is_usable(tmp_path: Path):
    certificate(tmp_path / "certs")
    made = (tmp_path / "certs" / "made").as_posix()
    pair = f"cert_file: '{made}/server-cert.pem', key_file: '{made}/server-key.pem'"
    text = f"https: 127.0.0.1:8222\ntls {{ {pair}, handshake_first: true }}"
    with labkit.start({"n1": text}) as lab:
        assert lab["n1"].monitor("varz")["server_name"] == "n1"
        authority = ssl.create_default_context(cafile=f"{made}/ca.pem")
        nc = await lab.connect(tls=authority, tls_handshake_first=True)
        await nc.flush()
        await nc.close()
        lab["n1"].restart()


def test_files_in_folders_below_are_taken_along_where_a_server_file_names_them(tmp_path: Path):
    folder = tmp_path / "mine"
    certificate(folder)
    (folder / "made").rename(folder / "certs")
    (folder / "credentials.toml").unlink()
    (folder / "certs" / "unnamed").write_text("x")
    pair = "cert_file: './certs/server-cert.pem', key_file: 'certs/server-key.pem'"
    (folder / "n1.conf").write_text(f"tls {{ {pair} }}")
    with labkit.start(folder) as lab:
        names = {path.name for path in (lab.folder / "config" / "certs").iterdir()}
        assert names == {"server-cert.pem", "server-key.pem"}


def test_a_server_joins_while_another_is_down():
    with labkit.start("leaf-nodes") as lab:
        lab["leaf"].stop()
        lab.add("second", SECOND_LEAF)
        assert lab["hub"].monitor("leafz")["leafnodes"] == 1


def test_waiting_for_a_lab_with_a_stopped_server_says_how_to_start_it():
    with labkit.start("leaf-nodes") as lab:
        lab["leaf"].kill()
        with pytest.raises(TopologyError, match=r"leaf is stopped; .*lab\['leaf'\]\.start\(\)"):
            lab.wait_usable()


def test_nothing_is_copied_that_the_server_file_does_not_name(tmp_path: Path):
    folder = tmp_path / "home"
    folder.mkdir()
    for name in ("notes.txt", "id_rsa", "motd"):
        (folder / name).write_text(name)
    file = folder / "n1.conf"
    file.write_text("# see notes.txt\nserver_tags: [a, 'motd']\ninclude more.conf\n")
    (folder / "more.conf").write_text("WHERE: ./rules\ntls { ca_file: $WHERE }\n")
    (folder / "rules").write_text("rules")
    (planned,) = placement.plan(folders.read_files(file))
    placement.copy_companions([folder], tmp_path / "run", [planned])
    copied = {p.relative_to(tmp_path / "run" / "config").as_posix() for p in all_files(tmp_path)}
    assert copied == {"motd", "rules"}


def all_files(folder: Path) -> list[Path]:
    """The files of this test's run."""
    return [path for path in (folder / "run").rglob("*") if path.is_file()]


def test_a_topology_that_makes_credentials_takes_only_server_files_and_recipe_along(
    tmp_path: Path,
):
    shutil.copytree(folders.configs_folder() / "authentication-user", tmp_path / "mine")
    (tmp_path / "mine" / "id_rsa").write_text("a key of yours")
    with labkit.start(tmp_path / "mine") as lab:
        names = {path.name for path in lab.folder.rglob("*")}
    assert "passwords.conf" in names and "id_rsa" not in names
