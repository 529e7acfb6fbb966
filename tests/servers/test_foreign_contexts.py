"""Contexts that others wrote: honoured as the `nats` command line does, or refused with a sentence.

And those of a lab, tried with the command line itself where it is installed.
"""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import socket
import subprocess
import time
from pathlib import Path

import nats
import pytest

import labkit
from labkit.servers import contexts, folders
from labkit.servers.contexts import ContextError

pytestmark = pytest.mark.usefixtures("own_temp")

needs_nats = pytest.mark.skipif(
    shutil.which("nats") is None, reason="the nats CLI is not installed"
)
OPERATOR = {
    "credentials.toml": '[operator]\nA = ["ada"]\nSYS = ["sys"]\n',
    "n1.conf": 'operator: "made/operator.jwt"\nresolver: MEMORY\ninclude "made/resolver.conf"\n',
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which the command line has been used."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("NATS_CONTEXT", raising=False)
    folder = tmp_path / "config" / "nats" / "context"
    folder.mkdir(parents=True)
    return folder


def put(home: Path, name: str, **settings: object) -> None:
    (home / f"{name}.json").write_text(json.dumps({"description": "", "token": "", **settings}))


def embedded(text: str) -> str:
    return "data:;base64," + base64.b64encode(text.encode()).decode()


async def connects(name: str | None = None) -> None:
    nc = await labkit.connect(name)
    await nc.flush()
    await nc.close()


# --- logins -------------------------------------------------------------------------------------


async def test_creds_are_read_from_wherever_the_context_says(home: Path, tmp_path, monkeypatch):
    folder = tmp_path / "operator"
    folder.mkdir()
    for name, text in OPERATOR.items():
        (folder / name).write_text(text)
    with labkit.start(folder) as lab:
        path = Path(lab.credentials["ada"]["creds"])
        text = path.read_text()
        lines = text.splitlines()
        monkeypatch.setenv("LABKIT_CREDS", text)
        monkeypatch.setenv("LABKIT_FOLDER", str(path.parent))
        (tmp_path / "seed").write_text(lines[5])
        url = lab["n1"].url
        for creds in (
            str(path),
            f"file://{path}",
            f"FILE://{path}",
            "$LABKIT_FOLDER/ada.creds",
            "env://LABKIT_CREDS",
            embedded(text),
        ):
            put(home, "c", url=url, creds=creds)
            await connects("c")
        for seed in (lines[5], f"file://{tmp_path / 'seed'}", embedded(lines[5])):
            put(home, "j", url=url, user_jwt=lines[1], user_seed=seed)
            await connects("j")
        put(home, "j", url=url, user_jwt=lines[1])  # no bearer's: it has to be signed
        with pytest.raises(ContextError, match="no connection to nats://.*: .*Authorization"):
            await connects("j")


async def test_an_nkey_is_read_from_wherever_the_context_says(home: Path, monkeypatch):
    with labkit.start("authentication-nkey") as lab:
        path = next(iter(lab.credentials.values()))["nkey"]
        seed = Path(path).read_text()
        monkeypatch.setenv("LABKIT_SEED", seed)
        for nkey in (path, f"file://{path}", "env://LABKIT_SEED", embedded(seed)):
            put(home, "k", url=lab["n1"].url, nkey=nkey)
            await connects("k")


async def test_a_password_and_a_token_may_be_elsewhere(home: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("LABKIT_WORD", "s3cr3t")
    (tmp_path / "word").write_text("s3cr3t\n")
    places = ("s3cr3t", "env://LABKIT_WORD", f"file://{tmp_path / 'word'}", embedded("s3cr3t\n"))
    with labkit.start({"n1": "authorization { user: ada, password: s3cr3t }"}) as lab:
        for place in places:
            put(home, "p", url=lab["n1"].url, user="ada", password=place)
            await connects("p")
    with labkit.start("authentication-token") as lab:
        for place in places:
            put(home, "t", url=lab["n1"].url, token=place)
            await connects("t")
    assert contexts.options({"user": "a", "password": "x:y"})["password"] == "x:y"


SEED = "SUAIBDPBAUTWCWBKIO6XHQNINK5FWJW4OHLXC3HQ2KFE4PEJUA44CNHTC4"
JWT = "eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.eyJqdGkiOiJ4In0.c2lnbmF0dXJl"
LEAKS = {
    "a seed for a file": {"nkey": SEED},
    "creds for a file": {"creds": f"-----BEGIN NATS USER JWT-----\n{JWT}\n{SEED}\n"},
    "an nkey that is broken": {"nkey": embedded(f"x{SEED}")},
    "an nkey that is cut off": {"nkey": embedded(SEED[:40])},
    "creds that are broken": {"creds": embedded(f"{JWT}\n{SEED}")},
    "creds that are no base64": {"creds": f"data:;base64,{SEED}!"},
    "creds that are no text": {
        "creds": "data:;base64," + base64.b64encode(b"\xff" + SEED.encode()).decode()
    },
    "a certificate's key": {"cert": f"-----BEGIN\n{SEED}", "key": SEED},
    "a seed of a JWT": {"user_jwt": JWT, "user_seed": SEED[:30]},
    "a login in the address": {"url": f"nats://ada:{SEED}@127.0.0.1:1"},
    "a token in the address": {"url": f"nats://{SEED}@127.0.0.1:1"},
}


@pytest.mark.parametrize("what", LEAKS)
async def test_no_error_tells_a_secret(what: str, home: Path):
    put(home, "x", **LEAKS[what])
    with pytest.raises(ContextError) as told:
        await labkit.connect("x", max_reconnect_attempts=0)
    shown = str(told.value) + "".join(told.value._render_traceback_())
    for secret in (SEED[:12], JWT[:12], *LEAKS[what].values()):
        assert str(secret) not in shown
    assert told.value.__suppress_context__ or told.value.__context__ is None


REFUSED = {
    "a proxy": (
        {"socks_proxy": "127.0.0.1:1080"},
        "uses a SOCKS proxy, which labkit cannot",
    ),
    "1Password": (
        {"creds": "op://vault/item/field"},
        r"asks another program for its creds \(op://\)",
    ),
    "nsc": (
        {"creds": "nsc://o/a/u"},
        r"asks another program for its creds \(nsc://\), .*file:// or env://",
    ),
    "Windows' store": ({"windows_cert_store": "user"}, "takes its certificate from Windows' store"),
    "a variable that is not set": (
        {"token": "env://LABKIT_NO"},
        "in the variable LABKIT_NO, which is not set",
    ),
    "a file that is not there": (
        {"password": "file:///no/where", "user": "a"},
        "password file .*no.where is not",
    ),
    "a certificate that is none": ({"ca": __file__}, "certificates cannot be used"),
    "a certificate elsewhere": ({"ca": "env://LABKIT_CA"}, "ca has to be a file, not env:"),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_what_cannot_be_honoured_is_refused(what: str, home: Path):
    settings, says = REFUSED[what]
    with labkit.start("single") as lab:
        put(home, "x", url=lab["n1"].url, **settings)
        before = lab["n1"].monitor("varz")["total_connections"]
        with pytest.raises(ContextError, match=says):
            await labkit.connect("x")
        assert lab["n1"].monitor("varz")["total_connections"] == before, "nobody connected directly"


# --- what else a context says -------------------------------------------------------------------


async def test_the_context_of_the_environment_comes_before_the_selected_one(
    home: Path, monkeypatch
):
    with labkit.start("single") as one, labkit.start("single") as two:
        put(home, "one", url=one["n1"].url)
        put(home, "two", url=two["n1"].url)
        (home.parent / "context.txt").write_text("one")
        monkeypatch.setenv("NATS_CONTEXT", "two")
        for name, expected in ((None, two), ("one", one)):
            nc = await labkit.connect(name)
            assert nc.connected_url.netloc == expected["n1"].address("client")
            await nc.close()


async def test_replies_come_to_the_inbox_that_the_context_names(home: Path):
    rules = "permissions { subscribe: 'ada.>', publish: '>' }"
    text = f"authorization {{ users: [ {{ user: ada, password: p, {rules} }}, {{ user: b, password: b }} ] }}"
    with labkit.start({"n1": text}) as lab:
        put(home, "x", url=lab["n1"].url, user="ada", password="p", inbox_prefix="ada.inbox")
        nc, other = await labkit.connect("x"), await lab.connect(user="b", password="b")
        seen = []

        async def answer(message):
            seen.append(message.reply)
            await message.respond(b"yes")

        await other.subscribe("ask", cb=answer)
        await other.flush()
        assert (await nc.request("ask", timeout=2)).data == b"yes"
        assert seen[0].startswith("ada.inbox.")
        await nc.close()
        await other.close()


async def test_jetstream_is_that_of_the_domain_which_the_context_names(home: Path):
    with labkit.start("domains") as lab:
        put(home, "x", url=lab["leaf-1"].url, jetstream_domain="hub")
        put(home, "y", url=lab["leaf-1"].url, jetstream_api_prefix="$JS.leaf-2.API")
        x, y = await labkit.connect("x"), await labkit.connect("y")
        await x.jetstream().add_stream(name="S", subjects=["at-hub"])
        await y.jetstream(timeout=5).add_stream(name="S", subjects=["at-leaf-2"])
        plain = await lab.connect("leaf-1")
        for domain in ("hub", "leaf-2"):
            info = await plain.jetstream(domain=domain).stream_info("S")
            assert info.config.subjects == [f"at-{domain}"]
        assert (await x.jsm().stream_info("S")).config.subjects == ["at-hub"]
        assert (await x.jetstream(domain="leaf-2").stream_info("S")).config.subjects == [
            "at-leaf-2"
        ]
        with pytest.raises(nats.js.errors.NotFoundError):
            await plain.jetstream(domain="leaf-1").stream_info("S")
        for client in (x, y, plain):
            await client.close()


# --- nobody there -------------------------------------------------------------------------------


async def test_where_nobody_answers_a_sentence_comes_within_five_seconds(home: Path):
    with socket.create_server(("127.0.0.1", 0)) as mute:  # takes connections and says nothing
        port = mute.getsockname()[1]
        put(home, "mute", url=f"nats://ada:secret@127.0.0.1:{port}")
        put(home, "nobody", url="nats://127.0.0.1:1,nats://127.0.0.1:2")
        put(home, "unknown", url="nats://no-such-host.invalid:4222")
        for name, says in [
            ("mute", f"no connection to nats://127.0.0.1:{port}: nobody answers"),
            (
                "nobody",
                r"no connection to nats://127.0.0.1:1, nats://127.0.0.1:2: .*Connect call failed",
            ),
            ("unknown", "no connection to nats://no-such-host.invalid:4222: "),
        ]:
            began = time.monotonic()
            with pytest.raises(ContextError, match=says) as told:
                await labkit.connect(name)
            assert time.monotonic() - began < 5
            assert "secret" not in str(told.value)


async def test_who_is_not_let_in_hears_it_at_once(home: Path):
    with labkit.start("accounts") as lab:
        put(home, "x", url=lab["n1"].url, user="alice", password="wrong")
        began = time.monotonic()
        with pytest.raises(ContextError, match="no connection to .*Authorization Violation"):
            await labkit.connect("x")
        assert time.monotonic() - began < 2


async def test_a_client_of_a_context_comes_back_after_its_server_did(home: Path):
    with labkit.start("single") as lab:
        put(home, "x", url=lab["n1"].url)
        nc = await labkit.connect("x", reconnect_time_wait=0.05)
        lab["n1"].restart()
        async with asyncio.timeout(5):
            while not nc.stats["reconnects"] or not nc.is_connected:
                await asyncio.sleep(0.01)
        await nc.flush()
        await nc.close()


@pytest.mark.parametrize("name", ["../x", "a/b", "..", "a\\b"])
def test_a_name_that_leads_elsewhere_is_refused(name: str, home: Path):
    with pytest.raises(ContextError, match="a context cannot be called"):
        contexts.read(name)


# --- the contexts of a lab ----------------------------------------------------------------------

SYSTEMS = {
    "single": {"lab": {"n1"}},
    "cluster": {"lab": {"n1", "n2", "n3"}},
    "leaf-nodes": {"lab": {"hub"}, "lab-leaf": {"leaf"}},
    "domains": {"lab": {"hub"}, "lab-leaf-1": {"leaf-1"}, "lab-leaf-2": {"leaf-2"}},
    "leaf-of-supercluster": {"lab": {"east", "west"}, "lab-leaf": {"leaf"}},
}


@pytest.mark.parametrize("topology", SYSTEMS)
def test_each_system_of_a_lab_has_a_context_with_its_servers(topology: str, home: Path):
    with labkit.start(topology, links="direct") as lab:
        assert lab.context == "lab"
        for name, servers in SYSTEMS[topology].items():
            assert {
                server for server, context in lab.contexts.items() if context == name
            } == servers
            assert set(contexts.read(name)["url"].split(",")) == {lab[s].url for s in servers}
        assert {path.stem for path in home.iterdir()} == set(SYSTEMS[topology])
    assert list(home.iterdir()) == []


def test_servers_without_a_cluster_are_each_a_system(home: Path):
    with labkit.start({"a": "", "b": "listen: 127.0.0.1:4223"}) as lab:
        assert lab.contexts == {"a": "lab", "b": "lab-b"}


KNOWN = {
    "a user of an account": ("accounts { A { users: [ {user: a, password: b} ] } }", "a"),
    "not the system's": (
        "accounts { $SYS { users: [ {user: s, password: s} ] }, A { users: [ {user: a, password: b} ] } }",
        "a",
    ),
    "not the system's by name": (
        "system_account: ADMIN\naccounts { ADMIN { users: [ {user: s, password: s} ] }\n"
        " A { users: [ {user: a, pass: b} ] } }",
        "a",
    ),
    "a user": ("authorization { username: a, password: b }", "a"),
    "a user of several": (
        "authorization { users: [ {user: a, password: b}, {user: c, password: d} ] }",
        "a",
    ),
    "not a hash": (
        "authorization { users: [ {user: h, password: $2a$11$xxxxxxxxxxxxxxxxxxxxxu}, {user: a, password: b} ] }",
        "a",
    ),
    "a variable": ("W: b\nauthorization { user: a, password: $W }", "a"),
    "a user for who says nothing": (
        "no_auth_user: a\nauthorization { users: [ {user: a, password: b} ] }",
        None,
    ),
    "not that of leaf nodes": (
        "leafnodes { port: 7422, authorization { user: l, password: m } }",
        None,
    ),
}


@pytest.mark.parametrize("what", KNOWN)
async def test_the_context_of_a_lab_carries_the_login_that_its_file_tells(what: str, home: Path):
    text, user = KNOWN[what]
    with labkit.start({"n1": text}) as lab:
        assert contexts.read(lab.context).get("user") == user
        await connects(lab.context)


SLOW = {"supercluster", "cluster-of-five"}  # and like others here


@needs_nats
@pytest.mark.parametrize("topology", sorted(set(folders.names()) - SLOW))
def test_the_command_line_is_let_in_by_every_context_of_a_lab(topology: str, home: Path):
    with labkit.start(topology, links="direct") as lab:
        for context in sorted(set(lab.contexts.values())):
            command = ["nats", "--context", context, "server", "check", "connection"]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
            assert done.returncode == 0, f"{context}: {done.stdout}{done.stderr}"


@needs_nats
async def test_what_the_command_line_writes_is_read_here(home: Path, tmp_path: Path):
    with labkit.start("authentication-nkey") as lab:
        seed = next(iter(lab.credentials.values()))["nkey"]
        add = ["nats", "context", "add", "mine", "--server", lab["n1"].url, "--nkey", seed]
        subprocess.run([*add, "--select"], capture_output=True, check=True, timeout=30)
        await connects()
    with labkit.start({"n1": "authorization { user: a, password: b }"}) as lab:
        add = ["nats", "context", "add", "other", "--server", lab["n1"].url]
        options = ["--user", "a", "--password", "b", "--js-domain", "hub"]
        subprocess.run([*add, *options], capture_output=True, check=True, timeout=30)
        await connects("other")
