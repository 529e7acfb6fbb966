"""Nothing of a lab can be reached from outside the machine, however its files say where to listen."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import psutil
import pytest

import labkit
from labkit.servers import binary, ports, sockets
from labkit.servers.errors import ConfigError, TopologyError

pytestmark = pytest.mark.usefixtures("own_temp")


def addresses(server: labkit.Server) -> set[tuple[str, int]]:
    """The host and port of each socket on which the server's process listens."""
    found = psutil.Process(server.pid).net_connections(kind="inet")
    return {tuple(c.laddr) for c in found if c.status == psutil.CONN_LISTEN}


ANY_HOST = {
    "client": 'host: ""\nport: 4222',
    "client, no port": 'net: ""',
    "client, its host left out": 'listen: ":4222"',
    "client, only a port": "port: 4222",
    "http": 'host: ""\nhttp: ":8222"\nport: 4222',
    "http, only a port": "monitor_port: 8222",
    "profile": 'host: ""\nport: 4222\nprof_port: 6060',
    "cluster": 'cluster { name: C, net: "", port: 6222 }',
    "gateway": 'gateway { name: C, host: "", port: 7222 }',
    "leafnodes": 'leaf { host: "", port: 7422 }',
    "websocket": 'ws { host: "", port: 8080, no_tls: true }',
    "mqtt": "server_name: n1\njetstream: enabled\nmqtt { host: '', port: 1883 }",
    "a block in a variable": 'C: { name: C, host: "", port: 6222 }\ncluster: $C',
    "a host in a variable": 'H: ""\nhost: $H\nport: 4222\nleafnodes { host: $H, port: 7422 }',
}


@pytest.mark.parametrize("what", ANY_HOST)
def test_any_host_is_loopback_here(what: str):
    with labkit.start({"n1": ANY_HOST[what]}) as lab:
        planned = lab["n1"].planned.addresses
        assert what.partition(",")[0] in planned or " in a variable" in what
        assert addresses(lab["n1"]) == {("127.0.0.1", port) for port in planned.values()}


TWICE = {
    "a key": "listen: 127.0.0.1:4222\n\nlisten: 0.0.0.0:4222",
    "a key in capitals": "listen: 127.0.0.1:4222\n\nLISTEN: 0.0.0.0:4222",
    "a key in quotes": "port: 4222\n\n'port': 4223",
    "a host": "host: 127.0.0.1\nport: 4222\nhost: ''",
    "a block": "cluster { listen: 127.0.0.1:6222 }\n\ncluster { listen: 0.0.0.0:6222 }",
    "a key in a block": "leaf {\nport: 7422\n\nport: 7423\n}",
    "a host in a block": "gateway {\n host: 127.0.0.1, port: 7222, name: G\n\n host: 0.0.0.0\n}",
    "the profile": "prof_port: 6060\n\nprof_port: 6061",
    "monitoring": "http: 127.0.0.1:8222\n\nhttp: 0.0.0.0:8222",
    "a block as JSON": '{ "mqtt": {"port": 1883},\n\n"mqtt": {"host": "0.0.0.0", "port": 1883} }',
}
SPELLINGS = {
    "a block": "leaf { port: 7422 }\n\nleafnodes { listen: 0.0.0.0:7422 }",
    "a websocket": "ws { port: 8080 }\n\nwebsocket { port: 8080 }",
    "a host": "host: 127.0.0.1\n\nnet: 0.0.0.0\nport: 4222",
    "an address and a host": "listen: 127.0.0.1:4222\n\nhost: 0.0.0.0",
    "monitoring": "http: 127.0.0.1:8222\n\nhttp_port: 8222",
}


@pytest.mark.parametrize("what", TWICE)
def test_what_is_said_twice_of_a_listener_is_refused_with_both_lines(what: str):
    with pytest.raises(
        ConfigError, match=r"n1.conf:[34]: \w+ is given twice, first in n1.conf:[12]"
    ):
        labkit.start({"n1": TWICE[what]})


@pytest.mark.parametrize("what", SPELLINGS)
def test_what_is_said_twice_in_two_spellings_is_refused_with_both_lines(what: str):
    with pytest.raises(ConfigError, match=r"n1.conf:3: \w+ \(n1.conf:1\) and \w+ both say where"):
        labkit.start({"n1": SPELLINGS[what]})


def test_what_is_said_twice_through_an_include_is_refused_with_both_files(tmp_path: Path):
    (tmp_path / "n1.conf").write_text(
        "listen: 127.0.0.1:4222\ncluster { include more.conf }\ninclude all.conf"
    )
    (tmp_path / "more.conf").write_text("port: 6222\n")
    (tmp_path / "all.conf").write_text("\nlisten: 0.0.0.0:4222\n")
    with pytest.raises(ConfigError, match="all.conf:2: listen is given twice, first in n1.conf:1"):
        labkit.start(tmp_path / "n1.conf")
    (tmp_path / "all.conf").write_text("debug: false\n\ncluster { port: 6222, host: 0.0.0.0 }")
    with pytest.raises(ConfigError, match="all.conf:3: cluster is given twice, first in n1.conf:2"):
        labkit.start(tmp_path / "n1.conf")
    (tmp_path / "more.conf").write_text("port: 6222\nport: 6223")
    (tmp_path / "all.conf").write_text("")
    with pytest.raises(ConfigError, match="more.conf:2: port is given twice, first in more.conf:1"):
        labkit.start(tmp_path / "n1.conf")


def test_what_is_said_twice_is_refused_when_a_server_is_added_and_when_one_reloads():
    twice = "listen: 127.0.0.1:4223\nlisten: 0.0.0.0:4223"
    with labkit.start({"n1": "listen: 127.0.0.1:4222"}) as lab:
        with pytest.raises(ConfigError, match="n2.conf:2: listen is given twice"):
            lab.add("n2", twice)
        with pytest.raises(ConfigError, match="n1.conf:2: listen is given twice"):
            lab["n1"].reload(twice)
        assert list(lab) == ["n1"]
        assert lab["n1"].config == "listen: 127.0.0.1:4222"
        assert len(addresses(lab["n1"])) == 2


def test_of_what_is_no_listener_the_last_counts():
    text = "max_payload: 1000\nmax_payload: 2000\njetstream { max_mem: 1G }\njetstream: disabled"
    with labkit.start({"n1": text}) as lab:
        assert lab["n1"].monitor("varz")["max_payload"] == 2000
        assert not lab["n1"].planned.jetstream


def stand_in(folder: Path, script: str) -> Path:
    """A program in the place of nats-server's that does something first, or asks for more."""
    program = folder / "nats-server"
    program.write_text(f"#!{sys.executable}\nimport os, socket, sys\n{script}\n")
    program.chmod(0o755)
    return program


@pytest.mark.skipif(sys.platform == "win32", reason="scripts stand in for nats-server")
def test_a_server_that_listens_elsewhere_than_asked_is_stopped_and_told(
    tmp_path: Path, monkeypatch
):
    real = binary.find().path
    run = f"os.execv({real!r}, [{real!r}, *sys.argv[1:], '--addr', '0.0.0.0'])"
    monkeypatch.setenv("LABKIT_NATS_SERVER", str(stand_in(tmp_path, run)))
    with pytest.raises(
        TopologyError,
        match=r"server n1 was stopped: its client listener is on 0\.0\.0\.0:(\d+), but labkit "
        r"asked for 127\.0\.0\.1:\1\. Nothing in a lab .*look in n1\.conf",
    ):
        labkit.start({"n1": "listen: 127.0.0.1:4222"})


@pytest.mark.skipif(sys.platform == "win32", reason="scripts stand in for nats-server")
def test_a_socket_that_the_server_does_not_tell_of_is_seen(tmp_path: Path, monkeypatch):
    real = binary.find().path
    run = (
        "s = socket.create_server(('0.0.0.0', 0)); os.set_inheritable(s.fileno(), True)\n"
        f"os.execv({real!r}, [{real!r}, *sys.argv[1:]])"
    )
    monkeypatch.setenv("LABKIT_NATS_SERVER", str(stand_in(tmp_path, run)))
    with pytest.raises(
        TopologyError, match=r"it listens on 0\.0\.0\.0:\d+, but labkit knows of no"
    ):
        labkit.start({"n1": "listen: 127.0.0.1:4222"})


def test_the_sockets_of_a_process_are_those_that_psutil_sees():
    with labkit.start("leaf-nodes") as lab:
        for server in lab.values():
            assert set(sockets.listening(server.pid)) == addresses(server)
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as six:
        assert six.getsockname()[:2] in sockets.listening(os.getpid())


DIALS = {
    "a leaf node": (
        "leafnodes {{ listen: 127.0.0.1:{port} }}",
        "leafnodes {{ remotes: [ {{ url: 'nats-leaf://0.0.0.0:{port}' }} ] }}",
        "leafz",
    ),
    "a route": (
        "cluster {{ name: C, listen: 127.0.0.1:{port} }}",
        "cluster {{ name: C, port: -1, routes: [ 'nats-route://[::]:{port}' ] }}",
        "routez",
    ),
    "a gateway": (
        "cluster {{ name: A, port: -1 }}\ngateway {{ name: A, listen: 127.0.0.1:{port} }}",
        "cluster {{ name: B, port: -1 }}\ngateway {{ name: B, port: -1,"
        " gateways: [ {{ name: A, url: 'nats://0.0.0.0:{port}' }} ] }}",
        "gatewayz",
    ),
}


@pytest.mark.parametrize("what", DIALS)
def test_who_dials_any_host_reaches_this_lab_and_no_stranger(what: str):
    texts = DIALS[what]
    (port,) = ports.free_ports(1)
    one, two = (text.format(port=port) for text in texts[:2])
    with labkit.start({"stranger": one}, ports="well-known", links="direct") as stranger:
        with labkit.start({"one": one, "two": two}) as lab:
            assert [(link.pair, link.up) for link in lab.links()] == [({"one", "two"}, True)]
            page = stranger["stranger"].monitor(texts[2])
        assert not any(page.get(name) for name in ("leafs", "routes", "inbound_gateways"))
