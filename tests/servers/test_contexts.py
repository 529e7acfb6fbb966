"""Contexts of the `nats` command line: written for a running lab, read for any system."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nkeys
import psutil
import pytest

import labkit
from labkit.servers import contexts
from labkit.servers.contexts import ContextError
from labkit.servers.wait import wait_until

pytestmark = pytest.mark.usefixtures("own_temp")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which the command line has been used."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    folder = tmp_path / "config" / "nats" / "context"
    folder.mkdir(parents=True)
    return folder


def put(home: Path, name: str, **settings: str) -> None:
    (home / f"{name}.json").write_text(json.dumps({"description": "", "token": "", **settings}))


async def test_a_running_lab_is_a_context_and_a_stopped_one_is_none(home: Path):
    with labkit.start("single") as lab:
        assert lab.context == "lab"
        assert contexts.read("lab")["url"] == lab["n1"].url
        nc = await labkit.connect("lab")
        await nc.flush()
        await nc.close()
    assert list(home.iterdir()) == []


def test_where_nobody_has_the_command_line_nothing_is_written(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PATH", "")
    with labkit.start("single") as lab:
        assert lab.context is None
    assert not (tmp_path / "config").exists()


def test_contexts_of_the_user_and_of_other_labs_stay_as_they_are(home: Path):
    put(home, "lab", url="nats://mine.example:4222")
    before = (home / "lab.json").read_text()
    with labkit.start("single") as one, labkit.start("single") as two:
        assert {one.context, two.context} == {"lab-2", "lab-3"}
    assert [path.name for path in home.iterdir()] == ["lab.json"]
    assert (home / "lab.json").read_text() == before


def test_the_context_goes_also_when_the_guard_is_killed(home: Path):
    lab = labkit.start("single")
    psutil.Process(lab._guard.pid).kill()
    wait_until(lambda: lab["n1"].state == "exited", 5, "the lab to see it")
    lab.stop()
    assert list(home.iterdir()) == []


async def test_a_context_with_a_user_is_understood(home: Path):
    with labkit.start("accounts") as lab:
        put(home, "alice", url=lab["n1"].url, user="alice", password="alice")
        nc = await labkit.connect("alice")
        await nc.close()


async def test_a_context_with_a_token_is_understood(home: Path):
    with labkit.start("authentication-token") as lab:
        put(home, "token", url=lab["n1"].url, token="s3cr3t")
        nc = await labkit.connect("token")
        await nc.close()


async def test_a_context_with_an_nkey_is_understood(home: Path, tmp_path: Path):
    seed = nkeys.encode_seed(b"a" * 32, nkeys.PREFIX_BYTE_USER)
    public = nkeys.from_seed(seed).public_key.decode()
    (tmp_path / "user.nk").write_bytes(seed)
    with labkit.start({"n1": f"authorization {{ users: [ {{ nkey: {public} }} ] }}"}) as lab:
        put(home, "nkey", url=lab["n1"].url, nkey=str(tmp_path / "user.nk"))
        nc = await labkit.connect("nkey")
        await nc.close()


async def test_without_a_name_it_is_the_selected_context(home: Path):
    with pytest.raises(ContextError, match="no context is selected; name one"):
        await labkit.connect()
    with labkit.start("single") as lab:
        put(home, "mine", url=lab["n1"].url)
        (home.parent / "context.txt").write_text("mine\n")
        nc = await labkit.connect()
        assert nc.connected_url.netloc == lab["n1"].address("client")
        await nc.close()


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("prod", None, "there is no context 'prod'; there are: other"),
        ("othr", None, "there is no context 'othr'; did you mean 'other'?"),
        ("bad", "{", "bad.json cannot be read"),
        ("nsc", '{"nsc": "nsc://o/a/u"}', "export a creds file"),
        ("creds", '{"creds": "/nowhere/x.creds"}', "creds file .*x.creds is not there"),
        ("ca", '{"ca": "/nowhere/ca.pem"}', "ca file .*ca.pem is not there"),
    ],
)
async def test_a_context_that_cannot_be_used_is_told(home: Path, name, text, says: str):
    put(home, "other", url="nats://127.0.0.1:4222")
    if text is not None:
        (home / f"{name}.json").write_text(text)
    with pytest.raises(ContextError, match=says):
        await labkit.connect(name)


@pytest.mark.skipif(shutil.which("nats") is None, reason="the nats command line is not installed")
def test_the_real_command_line_reaches_the_lab():
    with labkit.start("single") as lab:
        assert lab.context
        command = ["nats", "--context", lab.context, "server", "check", "connection"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_settings_become_options_of_nats_connect():
    found = contexts.options({"url": "nats://a:1,nats://b:2", "token": "t", "inbox_prefix": "_X"})
    assert found == {"servers": ["nats://a:1", "nats://b:2"], "token": "t", "inbox_prefix": b"_X"}


def test_a_user_without_a_home_can_start_a_lab_and_is_told_where_contexts_are(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with labkit.start("single") as lab:
        assert lab.context is None
    with pytest.raises(ContextError, match="this user has none; set HOME"):
        contexts.read("lab")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_the_login_in_a_context_is_for_nobody_else(home: Path):
    with labkit.start("authentication-user") as lab:
        assert "password" in contexts.read(lab.context)
        assert (home / f"{lab.context}.json").stat().st_mode & 0o077 == 0


def test_a_context_that_wants_tls_first_gets_it():
    found = contexts.options({"url": "tls://a:1", "tls_first": True})
    assert found["tls_handshake_first"] is True
    assert found["tls"].check_hostname
