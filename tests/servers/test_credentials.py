"""Credentials: made at start for whom the topology's folder says, used by name, gone with the lab."""

from __future__ import annotations

import asyncio
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import nats
import nats.errors
import pytest

import labkit
from labkit.servers import binary, contexts, credentials, folders
from labkit.servers.clients import RefusedError
from labkit.servers.errors import ConfigError, LabError, TopologyError
from labkit.servers.wait import wait_until

pytestmark = pytest.mark.usefixtures("own_temp")

CONFIGS = folders.configs_folder()
WITH_RECIPE = [name for name in folders.names() if credentials.recipe_of(CONFIGS / name)]
SECRET = re.compile(r"PRIVATE KEY|\bS[UAOCN][A-Z2-7]{56}\b|\beyJ[\w-]{20,}|\$2[aby]\$")


async def carries(nc: nats.NATS, subject: str = "hello") -> bool:
    subscription = await nc.subscribe(subject)
    await nc.publish(subject, b"!")
    return (await subscription.next_msg(timeout=2)).data == b"!"


@pytest.mark.parametrize("name", WITH_RECIPE)
async def test_each_credential_works_and_nobody_comes_in_without(name: str):
    with labkit.start(name) as lab:
        assert lab.credentials
        for who in set(lab.credentials) - {"eve", "board", "bob"}:  # these may do less
            nc = await lab.connect(credentials=who)
            subject = f"seats.{who}.hello" if name == "room" else "hello"
            assert await carries(nc, subject)
            await nc.close()
        with pytest.raises(RefusedError, match=r"refuses the client: .*Say who you are.*'\w+'"):
            await lab.connect()


@pytest.mark.parametrize("name", WITH_RECIPE)
async def test_a_credential_of_another_lab_does_not_open_this_one(name: str):
    with labkit.start(name) as other, labkit.start({"spare": ""}):
        who = next(iter(other.credentials))
        with labkit.start(name) as lab:
            assert other.credentials[who] != lab.credentials[who]
            theirs = contexts.options(other.credentials[who])
            del theirs["servers"]
            with pytest.raises(RefusedError, match=r"Authorization Violation|certificate"):
                await lab.connect(**theirs)


async def test_a_certificate_names_the_user_and_what_that_user_may_do():
    with labkit.start("authentication-mtls") as lab:
        bob = await lab.connect(credentials="bob")
        assert await carries(bob, "bob.hello")
        await bob.publish("ada.hello", b"")
        await bob.flush()
        assert "permissions violation for publish" in str(lab.clients.errors[-1].error).lower()
        with pytest.raises(RefusedError, match="Authorization Violation"):
            await lab.connect(credentials="eve")
        with pytest.raises(RefusedError, match=r"certificate|handshake|EOF|Violation"):
            import ssl

            only_ca = ssl.create_default_context(cafile=lab.credentials["ada"]["ca"])
            await lab.connect(tls=only_ca)


async def test_accounts_of_an_operator_do_not_hear_each_other():
    with labkit.start("authentication-operator") as lab:
        ada, alan, bob = [await lab.connect(credentials=who) for who in ("ada", "alan", "bob")]
        heard_here, heard_there = await alan.subscribe(">"), await bob.subscribe(">")
        await alan.flush()
        await bob.flush()
        await ada.publish("news", b"")
        assert (await heard_here.next_msg(timeout=2)).subject == "news"
        with pytest.raises(TimeoutError):
            await heard_there.next_msg(timeout=0.2)
        sys_client = await lab.connect(credentials="sys")
        answer = await sys_client.request("$SYS.REQ.SERVER.PING", b"", timeout=2)
        assert b'"server"' in answer.data


async def test_a_seat_of_the_room_publishes_only_as_itself():
    with labkit.start("room") as lab:
        host, ada = [await lab.connect(credentials=who) for who in ("host", "ada")]
        heard = await host.subscribe("room.>")
        await host.flush()
        for subject in (
            "room.chat.bob",
            "room.guestbook.sign.bob",
            "$JS.API.INFO",
            "room.chat.ada",
        ):
            await ada.publish(subject, b"")
        assert (await heard.next_msg(timeout=2)).subject == "room.chat.ada"
        await ada.flush()
        refused = [str(entry.error).lower() for entry in lab.clients.errors]
        assert [re.findall(r'"(.*)"', text)[0] for text in refused] == [
            "room.chat.bob",
            "room.guestbook.sign.bob",
            "$js.api.info",
        ]


async def test_a_seat_joins_the_room_as_a_leaf_with_its_own_login():
    with labkit.start("room") as hub:
        login = hub.credentials["ada"]
        dialed = hub["hub"].address("leafnodes")
        url = f"nats-leaf://{login['user']}:{login['password']}@{dialed}"
        seat = {"seat": f'listen: 127.0.0.1:4223\nleafnodes {{ remotes: [ {{ url: "{url}" }} ] }}'}
        with labkit.start(seat, links="direct") as own:
            host, ada = await hub.connect(credentials="host"), await own.connect()
            heard = await host.subscribe("room.>")
            await host.flush()
            wait_until(lambda: hub["hub"].monitor("leafz").get("leafs"), 5, "the seat to be a leaf")
            async with asyncio.timeout(10):
                while not heard.pending_msgs:  # until the hub's interest has reached the leaf
                    for subject in ("room.chat.bob", "room.chat.ada"):
                        await ada.publish(subject, b"")
                    await asyncio.sleep(0.01)
            assert (await heard.next_msg(timeout=2)).subject == "room.chat.ada"


def test_what_is_made_belongs_to_its_owner_alone_and_goes_with_the_lab():
    for name in WITH_RECIPE:
        with labkit.start(name) as lab:
            made = [path for path in lab.folder.rglob("*") if credentials.MADE in path.parts]
            assert made
            if sys.platform != "win32":
                assert stat.S_IMODE(lab.folder.stat().st_mode) == 0o700
                assert {stat.S_IMODE(p.stat().st_mode) for p in made if p.is_file()} == {0o600}
        assert not lab.folder.exists()


def test_no_secret_is_in_the_repository():
    for path in CONFIGS.rglob("*"):
        if path.is_file() and path.parent.name != credentials.MADE:
            assert not SECRET.search(path.read_text()), path


@pytest.mark.parametrize("name", WITH_RECIPE)
async def test_a_topology_with_credentials_runs_by_hand(name: str, tmp_path: Path):
    own = folders.own_copy(CONFIGS / name, tmp_path / name)
    command = [sys.executable, "-m", "labkit.cli", "credentials", str(own)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"made anew in {own / 'made'}" in shown
    for path in own.glob("*.conf"):
        command = [binary.find().path, "-t", "-c", path.name]
        done = subprocess.run(command, cwd=own, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    with labkit.start(own) as lab:
        assert set(lab.credentials) == {line.split()[0] for line in shown.splitlines()[:-1]}


def test_what_needs_no_credentials_says_so():
    command = [sys.executable, "-m", "labkit.cli", "credentials", "single"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "single needs no credentials: it has no credentials.toml" in done.stderr


@pytest.mark.parametrize("name", WITH_RECIPE)
async def test_the_context_of_a_lab_carries_a_login(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    contexts.folder().mkdir(parents=True)
    with labkit.start(name) as lab:
        nc = await labkit.connect(context=lab.context)
        assert await carries(nc)
        await nc.close()


async def test_an_unknown_name_gets_the_near_one():
    with labkit.start("authentication-user") as lab:
        with pytest.raises(LabError, match="no credentials 'adda' in this lab; did you mean 'ada'"):
            await lab.connect(credentials="adda")
    with labkit.start("single") as lab:
        with pytest.raises(LabError, match="no credentials 'ada' in this lab; it has none"):
            await lab.connect(credentials="ada")


RECIPES = {
    "not TOML": ("[passwords", "credentials.toml: "),
    "an unknown section": ("[pasword]\nusers = []", r"nothing is known about \[pasword\]; it can"),
    "no list": ('[passwords]\nusers = "ada"', r"\[passwords\] holds lists of names"),
    "no users": ("[passwords]\npeople = []", r"\[passwords\] needs a list named users"),
    "a name twice": ('[nkeys]\nusers = ["ada", "ada"]', "'ada' is in it twice"),
    "a name that is a path": ('[nkeys]\nusers = ["../ada"]', r"'../ada' is no name"),
}


@pytest.mark.parametrize("what", RECIPES)
def test_a_recipe_that_cannot_be_followed_is_told(what: str, tmp_path: Path):
    text, says = RECIPES[what]
    (tmp_path / "n1.conf").write_text("listen: 127.0.0.1:4222")
    (tmp_path / "credentials.toml").write_text(text)
    with pytest.raises(ConfigError, match=says):
        labkit.start(tmp_path)


def test_a_certificate_that_is_missing_is_told_with_its_line(tmp_path: Path):
    (tmp_path / "n1.conf").write_text(
        'listen: 127.0.0.1:4222\ntls {\n  cert_file: "made/n2-cert.pem"\n'
        '  key_file: "made/server-key.pem"\n}'
    )
    (tmp_path / "credentials.toml").write_text("[certificates]\nclients = []")
    with pytest.raises(TopologyError, match=r"made/n2-cert.pem: no such file"):
        labkit.start(tmp_path)


def test_a_key_of_another_certificate_is_told(tmp_path: Path):
    (tmp_path / "n1.conf").write_text(
        'listen: 127.0.0.1:4222\ntls {\n  cert_file: "made/server-cert.pem"\n'
        '  key_file: "made/ada-key.pem"\n}'
    )
    (tmp_path / "credentials.toml").write_text('[certificates]\nclients = ["ada"]')
    with pytest.raises(TopologyError, match=r"private key does not match public key"):
        labkit.start(tmp_path)


async def test_a_reload_changes_what_a_user_may_do():
    with labkit.start("authentication-mtls") as lab:
        bob = await lab.connect(credentials="bob")
        lab["n1"].reload(lab["n1"].config.replace('publish: "bob.>"', 'publish: "robert.>"'))
        assert await carries(bob, "robert.hello")


def test_starting_without_credentials_imports_none_of_their_libraries():
    code = (
        "import sys, labkit\n"
        "with labkit.start('single'): pass\n"
        "print(sorted({'cryptography', 'trustme', 'bcrypt', 'nkeys'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n", os.environ.get("PYTHONSTARTUP")
