"""Configurations as others write them: variables, paths of their own, includes, names and addresses."""

from __future__ import annotations

import json
import socket
import ssl
import time
from pathlib import Path

import pytest

import labkit
from labkit.servers import credentials, ports
from labkit.servers.errors import ConfigError, TopologyError

pytestmark = pytest.mark.usefixtures("own_temp")

HUB = "leafnodes { listen: 127.0.0.1:7422 }"
LEAF = "leafnodes { remotes: [ { url: 'nats-leaf://127.0.0.1:7422'%s } ] }"


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """A folder with server-cert.pem, server-key.pem and ca.pem, for 127.0.0.1 and localhost."""
    recipe = tmp_path / credentials.RECIPE
    recipe.write_text("[certificates]\nclients = []\n")
    credentials.make(recipe, tmp_path)
    recipe.unlink()
    return (tmp_path / credentials.MADE).rename(tmp_path / "certs")


def pair(folder: Path | str) -> str:
    names = {"cert_file": "server-cert.pem", "key_file": "server-key.pem", "ca_file": "ca.pem"}
    return ", ".join(f"{key}: '{Path(folder, name).as_posix()}'" for key, name in names.items())


# --- variables ----------------------------------------------------------------------------------

VARIABLES = {
    "a port": "P: 4222\nport: $P",
    "an address": "A: '127.0.0.1:4222'\nlisten: $A",
    "monitoring": "M: 8222\nhttp: $M\nlisten: 127.0.0.1:4222",
    "a port of the environment": "port: $LABKIT_PORT",
    "an address of the environment": "listen: $LABKIT_ADDRESS",
    "a port in a block": "P: 6222\ncluster { name: C, port: $P }",
    "a block of the environment": "cluster: $LABKIT_BLOCK",
    "a list of routes": "R: ['nats://127.0.0.1:6222']\ncluster { name: C, port: 6222, routes: $R }",
    "one route": "R: 'nats://127.0.0.1:6222'\ncluster { name: C, port: 6222, routes: [$R] }",
    "a variable of a variable": "P: 4222\nQ: $P\nport: $Q",
}


@pytest.mark.parametrize("what", VARIABLES)
def test_a_variable_in_an_address_moves_with_the_lab(what: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LABKIT_PORT", "4222")
    monkeypatch.setenv("LABKIT_ADDRESS", "127.0.0.1:4222")
    monkeypatch.setenv("LABKIT_BLOCK", "{ name: C, port: 6222, routes: ['nats://127.0.0.1:6222'] }")
    texts = {"n1": VARIABLES[what]}
    with labkit.start(texts) as one, labkit.start(texts) as two:
        mine, theirs = one["n1"].planned.addresses, two["n1"].planned.addresses
        assert mine.keys() == theirs.keys()
        assert not set(mine.values()) & set(theirs.values())
        assert one["n1"].monitor("varz")["port"] == mine["client"]


def test_a_remote_in_a_variable_is_dialled_and_waited_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LABKIT_HUB", "nats-leaf://127.0.0.1:7422")
    for leaf in (
        "U: 'nats-leaf://127.0.0.1:7422'\nleafnodes { remotes: [ { url: $U } ] }",
        "leafnodes { remotes: [ { urls: [$LABKIT_HUB] } ] }",
    ):
        with labkit.start({"hub": HUB, "leaf": leaf}) as lab:
            assert [(link.a, link.b, link.up) for link in lab.links()] == [("leaf", "hub", True)]


def test_a_variable_for_two_things_that_differ_in_the_lab_is_told():
    text = "A: '127.0.0.1:4222'\nlisten: $A\nlog_file: $A"
    with pytest.raises(ConfigError, match="n1.conf:1: a variable puts this value in several"):
        labkit.start({"n1": text})


# --- paths --------------------------------------------------------------------------------------


def test_a_server_writes_only_into_the_folder_of_its_run(tmp_path: Path, monkeypatch):
    outside = tmp_path / "outside"
    outside.mkdir()
    monkeypatch.setenv("LABKIT_STORE", str(outside / "from-the-environment"))
    text = f"""
    L: "{outside.as_posix()}/log"
    log_file: $L
    pid_file: "{outside.as_posix()}/pid"
    ports_file_dir: "{outside.as_posix()}"
    ocsp_cache: {{ type: local, local_store: "{outside.as_posix()}/ocsp" }}
    jetstream {{ store: $LABKIT_STORE }}
    """
    (tmp_path / "n1.conf").write_text(text)
    with labkit.start(tmp_path / "n1.conf") as lab:
        folder, pid = lab.folder, lab["n1"].pid
        assert (folder / "n1.pid").read_text() == str(pid)
        assert lab["n1"].monitor("jsz")["config"]["store_dir"].startswith(str(folder))
        written = json.loads((folder / f"nats-server_{pid}.ports").read_text())
        assert written["nats"] == [f"nats://{lab['n1'].address('client')}"]
        assert list(outside.iterdir()) == []


@pytest.mark.parametrize("where", ["./jwt", "/nowhere/labkit/jwt", "../elsewhere/jwt"])
def test_a_resolver_keeps_its_accounts_in_the_folder_of_the_run(where: str, tmp_path: Path):
    folder = tmp_path / "topology"
    folder.mkdir()
    (folder / "credentials.toml").write_text('[operator]\nA = ["ada"]\nSYS = ["sys"]\n')
    (folder / "n1.conf").write_text(
        f'operator: "made/operator.jwt"\nresolver {{ type: full, dir: "{where}" }}\n'
        'include "made/resolver.conf"\n'
    )
    with labkit.start(folder) as lab:
        assert len(list((lab.folder / "store" / "n1-accounts").glob("*.jwt"))) == 2
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "credentials.toml",
        "n1.conf",
        "t",
        "topology",
    ]


def test_accounts_beside_the_file_are_brought_along(tmp_path: Path):
    made = tmp_path / "made-before"
    made.mkdir()
    (made / "credentials.toml").write_text('[operator]\nA = ["ada"]\nSYS = ["sys"]\n')
    login = credentials.make(made / "credentials.toml", made)
    folder = tmp_path / "topology"
    (folder / "jwt").mkdir(parents=True)
    text = (made / "made" / "resolver.conf").read_text()
    for line in text.splitlines():
        if line.startswith("  A"):
            name, _, token = line.strip().partition(": ")
            (folder / "jwt" / f"{name}.jwt").write_text(token.strip('"'))
    (folder / "n1.conf").write_text(
        'operator: "../made-before/made/operator.jwt"\nresolver { type: full, dir: jwt }\n'
        + text.splitlines()[-1]
    )
    with labkit.start(folder) as lab:
        accounts = lab["n1"].monitor("accountz")
        assert accounts["system_account"] in text
        assert len(list((lab.folder / "store" / "n1-accounts").glob("*.jwt"))) == 2
    assert len(login) == 2


def test_certificates_further_up_are_found(certificates: Path, tmp_path: Path):
    folder = tmp_path / "topology"
    folder.mkdir()
    (folder / "n1.conf").write_text(f"tls {{ {pair('../certs')} }}")
    with labkit.start(folder) as lab:
        assert lab["n1"].monitor("varz")["tls_required"]


@pytest.mark.parametrize("quote", ["'", '"', ""])
@pytest.mark.parametrize("given", ["", "n1.conf"], ids=["folder", "file"])
def test_what_is_further_up_is_found_also_where_credentials_are_made(
    certificates: Path, tmp_path: Path, quote: str, given: str
):
    folder = tmp_path / "its own" / "topology"
    folder.mkdir(parents=True)
    certificates.rename(tmp_path / "its own" / "certs")
    (folder / credentials.RECIPE).write_text('[passwords]\nusers = ["ada"]\n')
    (folder / "parts").mkdir()
    (folder / "parts" / "part.conf").write_text("include '../beside.conf'\n")
    (folder / "beside.conf").write_text("max_subscriptions: 77\n")
    (tmp_path / "common.conf").write_text("max_payload: 1000\n")
    (folder / "n1.conf").write_text(
        f"include 'made/passwords.conf'\ninclude parts/part.conf\ninclude {quote}../../common.conf{quote}\n"
        "authorization { users: [ { user: ada, password: $ADA_PASSWORD } ] }\n"
        f"tls {{ {pair('../certs')} }}".replace("'", quote)
    )
    with labkit.start(folder / given) as lab:
        varz = lab["n1"].monitor("varz")
        assert (varz["tls_required"], varz["max_payload"]) == (True, 1000)
        assert (list(lab), varz["max_subscriptions"]) == (["n1"], 77)
        assert "ada" in lab.credentials


# --- remotes ------------------------------------------------------------------------------------


def test_a_remote_that_makes_its_server_the_hub_is_waited_for():
    with labkit.start({"spoke": HUB, "hub": LEAF % ", hub: true"}) as lab:
        assert [(link.a, link.b, link.up) for link in lab.links()] == [("spoke", "hub", True)]
        (leaf,) = lab["hub"].monitor("leafz")["leafs"]
        assert not leaf.get("is_spoke")


def test_a_remote_that_is_disabled_is_not_waited_for():
    with labkit.start({"hub": HUB, "leaf": LEAF % ", disabled: true"}) as lab:
        assert lab.links() == []
        assert not lab["hub"].monitor("leafz").get("leafs")
    with labkit.start({"leaf": LEAF % ", disabled: yes"}) as lab:
        assert list(lab) == ["leaf"]


def test_a_hub_that_nobody_runs_is_told_where_it_is_dialled():
    with pytest.raises(
        ConfigError, match=r"leaf.conf:1: no server of this topology listens on 0.0.0.0:"
    ):
        labkit.start({"leaf": "leafnodes { remotes: [ { url: 'nats-leaf://0.0.0.0:7422' } ] }"})


DIALS = {
    "leafnodes {{ remotes: [\n {{ url: 'nats-leaf://a:secret@{}' }} ] }}",
    "cluster {{ name: C, port: 6222, routes: [\n 'nats-route://a:secret@{}' ] }}",
    "gateway {{ name: A, port: 7222, gateways: [\n {{ name: B, urls: ['nats://a:secret@{}'] }} ] }}",
}


@pytest.mark.parametrize("text", sorted(DIALS))
def test_who_cannot_be_dialled_is_told_at_once_and_the_login_is_not(text: str):
    began = time.monotonic()
    own = socket.gethostname()
    for address, says in [
        (
            "no-such-host.invalid:6222",
            "this machine knows no host named no-such-host.invalid",
        ),
        (f"{own}.invalid:6222", "this machine knows no host named"),
        ("255.255.255.255:6222", "255.255.255.255:6222 cannot be reached: "),
    ]:
        with pytest.raises(ConfigError, match=f"n1.conf:2: .*{says}") as told:
            labkit.start({"n1": text.format(address)})
        assert "secret" not in str(told.value)
    assert time.monotonic() - began < 3 * 2.5


def test_a_name_of_this_machine_is_told_to_be_no_loopback_address():
    try:
        socket.getaddrinfo(socket.gethostname(), 6222)
    except OSError:
        pytest.skip("this machine does not know its own name")
    text = f"cluster {{ name: C, port: 6222\n routes: ['nats://{socket.gethostname()}:6222'] }}"
    with pytest.raises(
        ConfigError, match="n1.conf:2: .* that is this machine, but labkit moves only"
    ):
        labkit.start({"n1": text})


def test_a_route_without_a_port_is_told():
    text = "cluster { name: C, port: 6222\n routes: ['nats://a:secret@somewhere'] }"
    with pytest.raises(ConfigError, match="n1.conf:2: nats://somewhere names no port") as told:
        labkit.start({"n1": text})
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("host", ["127.0.0.2", "[::1]", "localhost"])
def test_every_loopback_address_is_the_lab_s_own(host: str):
    hub = f"listen: '{host}:4222'\nleafnodes {{ host: '{host.strip('[]')}', port: 7422 }}"
    leaf = f"leafnodes {{ remotes: [ {{ url: 'nats-leaf://{host}:7422' }} ] }}"
    with labkit.start({"hub": hub, "leaf": leaf}) as lab:
        assert [(link.a, link.b, link.up) for link in lab.links()] == [("leaf", "hub", True)]
        assert lab["hub"].answers()


# --- files --------------------------------------------------------------------------------------

BROKEN = {
    "an unknown field": ("debug: false\n\nfoo: 3\n", 'part.conf:3: unknown field "foo"   | foo: 3'),
    "a word that is no number": ("\nmax_payload: many", "part.conf:2: .*| max_payload: many"),
    "a block that is not closed": ("\n\naccounts {", "part.conf:3: Parse error on line "),
    "a certificate that is not there": (
        "\ntls { cert_file: nope.pem, key_file: nope.key }",
        "part.conf:2: .*nope.pem: no such file",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
@pytest.mark.parametrize("depth", [1, 2])
def test_an_error_in_an_included_file_names_that_file_and_its_line(
    what: str, depth: int, tmp_path: Path
):
    text, says = BROKEN[what]
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "part.conf").write_text(text)
    (tmp_path / "n1.conf").write_text("# one\n# two\ninclude parts/part.conf\n")
    if depth == 2:
        (tmp_path / "n1.conf").write_text("include 'parts/middle.conf'")
        (tmp_path / "parts" / "middle.conf").write_text("include 'part.conf'")
    with pytest.raises(TopologyError, match=says):
        labkit.start(tmp_path / "n1.conf")


def test_a_file_name_with_a_space_works_and_its_errors_name_it(tmp_path: Path):
    path = tmp_path / "my hub.conf"
    path.write_text(HUB)
    with labkit.start(path) as lab:
        assert list(lab) == ["my-hub"]
        assert lab["my-hub"].monitor("varz")["server_name"] == "my-hub"
    path.write_text("\nfoo: 1")
    with pytest.raises(TopologyError, match='my hub.conf:2: unknown field "foo"'):
        labkit.start(tmp_path)


def test_a_file_with_a_character_at_which_the_server_stops_is_refused():
    with pytest.raises(ConfigError, match="n1.conf:2: there is a NUL character"):
        labkit.start({"n1": "port: 4222\n\0host: 127.0.0.1"})


# --- encryption ---------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["true", "on", "auto", "'50ms'", "false"])
async def test_a_server_that_encrypts_first_is_usable(first: str, certificates: Path):
    authority = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
    with labkit.start({"n1": f"tls {{ {pair(certificates)}, handshake_first: {first} }}"}) as lab:
        nc = await lab.connect(tls=authority)
        await nc.flush()
        await nc.close()


@pytest.mark.parametrize("first", ["true", "false"])
def test_leaf_nodes_reach_a_hub_that_encrypts(first: str, certificates: Path):
    tls = f"tls {{ {pair(certificates)}, handshake_first: {first} }}"
    hub = f"leafnodes {{ listen: 127.0.0.1:7422, {tls} }}"
    leaf = f"leafnodes {{ remotes: [ {{ url: 'tls://127.0.0.1:7422', {tls} }} ] }}"
    with labkit.start({"hub": hub, "leaf": leaf}) as lab:
        assert [(link.a, link.b, link.up) for link in lab.links()] == [("leaf", "hub", True)]


async def test_websockets_that_encrypt_are_reached_by_leaf_nodes_and_by_clients(certificates: Path):
    import nats

    tls = f"tls {{ {pair(certificates)} }}"
    hub = f"{HUB}\nwebsocket {{ listen: 127.0.0.1:8443, {tls} }}"
    leaf = f"leafnodes {{ remotes: [ {{ url: 'wss://127.0.0.1:8443', {tls} }} ] }}"
    with labkit.start({"hub": hub, "leaf": leaf}) as lab:
        assert [(link.a, link.b, link.up) for link in lab.links()] == [("leaf", "hub", True)]
        assert lab["hub"].websocket_url.startswith("wss://127.0.0.1:")
        authority = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
        nc = await nats.connect(lab["hub"].websocket_url, tls=authority)
        await nc.flush()
        await nc.close()


async def test_an_operator_s_accounts_have_jetstream(tmp_path: Path):
    (tmp_path / "credentials.toml").write_text('[operator]\nA = ["ada"]\nSYS = ["sys"]\n')
    (tmp_path / "n1.conf").write_text(
        'operator: "made/operator.jwt"\nresolver: MEMORY\ninclude "made/resolver.conf"\n'
        "jetstream: enabled\n"
    )
    with labkit.start(tmp_path) as lab:
        nc = await lab.connect(credentials="ada")
        await nc.jetstream().add_stream(name="S", subjects=["s"])
        assert (await nc.jetstream().publish("s", b"1")).seq == 1
        await nc.close()


def test_the_well_known_ports_stay_where_a_variable_names_them():
    (port,) = ports.free_ports(1)
    with labkit.start({"n1": f"P: {port}\nport: $P"}, ports="well-known") as lab:
        assert lab["n1"].url == f"nats://127.0.0.1:{port}"
