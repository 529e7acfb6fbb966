"""One server: started, used, restarted, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import marshal
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import nats
import psutil
import pytest

import labkit
from labkit.servers import processes, warm_guard
from labkit.servers.errors import LabError, ServerStateError, TopologyError
from labkit.servers.probe import read_info

pytestmark = pytest.mark.usefixtures("own_temp")


async def test_a_message_sent_is_a_message_received():
    with labkit.start("single") as lab:
        nc = await lab.connect()
        subscription = await nc.subscribe("hello")
        await nc.publish("hello", b"world")
        assert (await subscription.next_msg(timeout=1)).data == b"world"
        await nc.close()


def test_start_needs_no_event_loop_and_stop_leaves_nothing():
    lab = labkit.start("single")
    pid, folder = lab["n1"].pid, lab.folder
    assert psutil.pid_exists(pid)
    assert folder.is_dir()
    lab.stop()
    lab.stop()
    assert not psutil.pid_exists(pid)
    assert not folder.exists()
    assert lab["n1"].state == "stopped"


def test_an_exception_in_the_block_stops_the_lab():
    with pytest.raises(ZeroDivisionError), labkit.start("single") as lab:
        raise ZeroDivisionError
    assert lab.stopped
    assert not lab.folder.exists()


def test_the_table_shows_name_state_and_url():
    with labkit.start("single") as lab:
        assert f"n1  server  running  {lab['n1'].url}" in repr(lab)
        assert f"<td>{lab['n1'].url}</td>" in lab._repr_html_()
    assert "stopped" in repr(lab)


def test_a_restarted_server_keeps_its_address_and_its_store():
    with labkit.start({"n1": "jetstream: enabled"}) as lab:
        before, url = lab["n1"].pid, lab["n1"].url
        store = lab["n1"].monitor("jsz")["config"]["store_dir"]
        lab["n1"].restart()
        assert lab["n1"].pid != before
        assert lab["n1"].url == url
        assert lab["n1"].monitor("jsz")["config"]["store_dir"] == store
        assert Path(store).is_relative_to(lab.folder)


def test_a_killed_server_is_seen_as_stopped_and_starts_again():
    with labkit.start("single") as lab:
        lab["n1"].kill()
        assert lab["n1"].state == "stopped"
        assert lab["n1"].pid is None
        lab["n1"].start()
        assert lab["n1"].state == "running"


def test_a_server_that_dies_by_itself_is_seen_as_exited():
    with labkit.start("single") as lab:
        psutil.Process(lab["n1"].pid).kill()
        lab._guard.wait_exit(lab["n1"]._process, timeout=5)
        assert lab["n1"].state == "exited"


def test_a_paused_server_answers_again_when_it_is_resumed():
    with labkit.start("single") as lab:
        port = lab["n1"].planned.addresses["client"]
        lab["n1"].pause()
        assert lab["n1"].state == "paused"
        assert read_info(port, timeout=0.1) == {}
        lab["n1"].resume()
        assert read_info(port)["server_name"] == "n1"


def test_a_running_server_cannot_be_started_twice():
    with (
        labkit.start("single") as lab,
        pytest.raises(ServerStateError, match=r"running already.*restart"),
    ):
        lab["n1"].start()


def test_an_unknown_server_name_names_the_known_ones():
    with (
        labkit.start("single") as lab,
        pytest.raises(LabError, match="no server 'n2' in this lab; there are: n1"),
    ):
        lab["n2"]


async def test_connecting_to_a_stopped_server_says_how_to_start_it():
    with labkit.start("single") as lab:
        lab["n1"].stop()
        with pytest.raises(TopologyError, match=r"lab\[.n1.\]\.start"):
            await lab.connect()
        with pytest.raises(TopologyError, match=r"it is stopped; lab\['n1'\]\.start\(\) helps"):
            await lab.connect("n1")


async def test_connecting_to_a_stopped_lab_says_how_to_start_it():
    lab = labkit.start("single")
    lab.stop()
    with pytest.raises(TopologyError, match=r"labkit\.start\('single'\)"):
        await lab.connect()


async def test_what_nats_py_closes_a_client_for_is_shown_and_kept(capsys):
    with labkit.start("single") as lab:
        nc = await lab.connect(name="careless", pedantic=True)
        await nc.publish("store..us")
        with contextlib.suppress(nats.errors.Error):
            await nc.flush()
        await until(lambda: lab.clients.errors)
        assert "client 'careless': nats: invalid publish subject" in capsys.readouterr().err
        assert [entry.client for entry in lab.clients.errors] == ["careless"]


async def test_a_client_that_replaces_another_is_the_only_one_of_its_name():
    with labkit.start("single") as lab:
        others = [await lab.connect(name="other") for _ in range(2)]
        first = await lab.connect(name="worker", replace=True)
        second = await lab.connect(name="worker", replace=True)
        open_ones = [c["name"] for c in lab["n1"].monitor("connz")["connections"]]
        assert sorted(open_ones) == ["other", "other", "worker"]
        assert first.is_closed and second.is_connected
        assert all(other.is_connected for other in others)


async def test_an_error_that_repeats_is_shown_once_and_kept_each_time(capsys):
    with labkit.start("single") as lab:
        nc = await lab.connect(name="slow")
        await nc.subscribe("flood", pending_msgs_limit=1)
        for _ in range(5):
            await nc.publish("flood")
        await nc.flush()
        shown = capsys.readouterr().err
        assert shown.count("client 'slow': slow consumer, messages on 'flood' are dropped") == 1
        assert len(lab.clients.errors) == 4
        await nc.close()


def test_well_known_mode_listens_where_the_file_says():
    with labkit.start({"n1": "listen: 127.0.0.1:24222"}, ports="well-known") as lab:
        assert lab["n1"].url == "nats://127.0.0.1:24222"
        assert read_info(24222)["server_name"] == "n1"


def test_a_taken_port_in_well_known_mode_is_told_with_its_holder():
    text = {"n1": "listen: 127.0.0.1:24223"}
    with labkit.start(text, ports="well-known") as lab:
        with pytest.raises(
            TopologyError, match=f"24223 is taken by nats-server.*pid {lab['n1'].pid}"
        ):
            labkit.start(text, ports="well-known")


def test_two_labs_of_one_topology_do_not_meet():
    with labkit.start("single") as one, labkit.start("single") as two:
        ids = {read_info(lab["n1"].planned.addresses["client"])["server_id"] for lab in (one, two)}
        assert len(ids) == 2


def test_a_script_that_ends_without_stop_leaves_nothing(own_temp: Path):
    script = "import labkit; lab = labkit.start('single'); print(lab['n1'].pid)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "TMPDIR": str(own_temp)},
        capture_output=True,
        text=True,
        check=True,
    )
    gone(int(done.stdout))
    processes.wait_until(lambda: not list(own_temp.iterdir()), 5, "the folder to go")


@pytest.mark.skipif(sys.platform == "win32", reason="no fork on Windows")
def test_a_forked_child_does_not_keep_the_servers_of_a_dead_parent(own_temp: Path):
    script = (
        "import os, time, labkit\n"
        "lab = labkit.start('single'); print(lab['n1'].pid, flush=True)\n"
        "if os.fork() == 0:\n"
        "    print(os.getpid(), flush=True); time.sleep(60)\n"
        "else:\n"
        "    os._exit(0)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "TMPDIR": str(own_temp)},
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout
        server, child = int(parent.stdout.readline()), int(parent.stdout.readline())
        gone(server)
        psutil.Process(child).kill()
    processes.wait_until(lambda: not list(own_temp.iterdir()), 5, "the folder to go")


def test_a_killed_guard_takes_its_servers_along():
    lab = labkit.start("single")
    pid = lab["n1"].pid
    psutil.Process(lab._guard.pid).kill()
    gone(pid)
    processes.wait_until(lambda: lab["n1"].state == "exited", 5, "the lab to see it")
    with pytest.raises(LabError, match="guard of this lab is gone.*Start the lab again"):
        lab["n1"].start()
    lab.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the owner ends the servers")
def test_servers_end_with_a_killed_guard_also_when_their_owner_cannot_do_anything(own_temp: Path):
    code = (
        "import sys, labkit\n"
        "lab = labkit.start('cluster')\n"
        "print(lab._guard.pid, *[server.pid for server in lab.values()], flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(own_temp)},
        text=True,
    ) as owner:
        assert owner.stdout
        guard, *servers = map(int, owner.stdout.readline().split())
        psutil.Process(owner.pid).suspend()
        try:
            psutil.Process(guard).kill()
            for server in servers:
                gone(server)
        finally:
            owner.kill()
    for left in own_temp.iterdir():  # the next start sweeps it: the test below
        processes._remove(left)


@pytest.mark.skipif(sys.platform != "linux", reason="counts by Linux's own means")
def test_a_server_that_is_restarted_again_and_again_leaves_nothing_open_in_the_guard():
    with labkit.start("single") as lab:
        guard = psutil.Process(lab._guard.pid)
        lab["n1"].restart()
        before = guard.num_fds()
        for _ in range(5):
            lab["n1"].restart()
        processes.wait_until(lambda: guard.num_fds() <= before, 5, "the guard to close files")


def test_labs_are_listed_with_their_owner_and_can_be_stopped_from_elsewhere():
    lab = labkit.start("single")
    (record,) = [r for r in processes.every_lab() if r.folder == lab.folder]
    assert record.owner_pid == os.getpid()
    assert record.servers == {"n1": lab["n1"].pid}
    processes.stop_lab(record)
    assert lab.folder not in [r.folder for r in processes.every_lab()]
    lab.stop()


def test_a_folder_whose_owner_and_guard_were_killed_is_swept_at_the_next_start(own_temp: Path):
    lab = labkit.start("single")
    left = own_temp / "labkit-single-left"
    left.mkdir()
    (left / processes.RECORD).write_text((lab.folder / processes.RECORD).read_text())
    os.utime(left, (0, 0))
    labkit.start({"other": ""}).stop()
    assert not left.exists()
    assert lab["n1"].state == "running"
    lab.stop()


async def until(condition, timeout: float = 5.0) -> None:
    """Wait on the event loop until the condition holds."""
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.005)


def gone(pid: int) -> None:
    """Wait until no process has this pid."""
    processes.wait_until(lambda: not psutil.pid_exists(pid), 5, f"process {pid} to end")


async def test_flush_returns_when_the_server_has_seen_what_was_published():
    with labkit.start("single") as lab:
        sender = await lab.connect()
        for sent in range(5, 500, 5):
            for _ in range(5):
                await sender.publish("x")
            await sender.flush()
            assert lab["n1"].monitor("varz")["in_msgs"] == sent
        await sender.close()


@pytest.mark.skipif(sys.platform == "win32", reason="no fork on Windows")
def test_a_forked_child_that_leaves_the_block_ends_nothing_of_its_parent():
    with labkit.start("single") as lab:
        child = os.fork()
        if child == 0:
            lab.stop()
            os._exit(0)
        os.waitpid(child, 0)
        assert read_info(lab["n1"].planned.addresses["client"])["server_name"] == "n1"
        assert lab.folder.is_dir()
        lab["n1"].restart()


@pytest.mark.skipif(sys.platform == "win32", reason="no fork on Windows")
def test_a_forked_child_is_told_whose_the_lab_is():
    with labkit.start("single") as lab:
        lab["n1"].stop()
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                lab["n1"].start()
            except LabError as error:
                os.write(writing, str(error).encode())
            os._exit(0)
        os.waitpid(child, 0)
        os.close(writing)
        with os.fdopen(reading) as said:
            assert "belongs to the process that this one was forked from" in said.read()


def test_a_guard_that_cannot_be_started_leaves_no_folder(monkeypatch, own_temp: Path):
    warm_guard.end_all()  # or the lab would get the one that is there
    monkeypatch.setattr(sys, "executable", str(own_temp.parent / "no-python"))
    with pytest.raises(LabError, match="the guard of this lab could not be started in"):
        labkit.start("single")


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupt_while_the_guard_starts_leaves_nothing(monkeypatch, error):
    def interrupted(self):
        raise error("no space left")

    monkeypatch.setattr(processes.LabRecord, "write", interrupted)
    with pytest.raises((KeyboardInterrupt, LabError), match="no space left"):
        labkit.start("single")


def test_a_temporary_folder_that_is_not_there_is_told(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(processes.tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(LabError, match="no temporary folder can be made.*gone.*TMPDIR"):
        labkit.start("single")


@pytest.mark.skipif(sys.platform == "win32", reason="flock is not on Windows")
def test_who_looks_at_the_lock_at_the_wrong_moment_does_no_harm(tmp_path: Path):
    import fcntl

    folder = tmp_path / "labkit-x"
    folder.mkdir()
    with (folder / "guard.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        guard = bare_guard()
        assert guard.stdin
        guard.stdin.write(marshal.dumps(opening(folder)))
        guard.stdin.flush()
        processes.wait_until(
            lambda: str(folder / "guard.lock") in [f.path for f in _files(guard.pid)],
            10,
            "the guard to come to its lock",
        )
    said, _ = guard.communicate(timeout=10)
    assert marshal.loads(said) == {"lab": str(folder), "opened": True}
    assert guard.returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="no polite signal on Windows")
def test_a_guard_that_is_asked_to_leave_as_soon_as_it_speaks_takes_its_folder_along(tmp_path: Path):
    for number in range(10):
        folder = tmp_path / f"labkit-{number}"
        folder.mkdir()
        with bare_guard() as guard:
            assert guard.stdin and guard.stdout
            argv = [shutil.which("sleep"), "60"]
            order = {
                "id": 1,
                "argv": argv,
                "cwd": str(folder),
                "output": os.devnull,
                "environment": {},
            }
            for request in (opening(folder), {"lab": str(folder), **order}):
                guard.stdin.write(marshal.dumps(request))
            guard.stdin.flush()
            assert "opened" in marshal.load(guard.stdout)
            sleeper = marshal.load(guard.stdout)["pid"]
            guard.terminate()
        assert guard.returncode == 0
        assert not folder.exists()
        gone(sleeper)


def bare_guard() -> subprocess.Popen[bytes]:
    """A guard without labkit at its other end."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(warm_guard.GUARD)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def opening(folder: Path) -> dict[str, object]:
    """What the guard is told to take a run folder into its care."""
    return {"lab": str(folder), "open": dict(os.environ)}


def _files(pid: int):
    return psutil.Process(pid).open_files()


def test_a_log_that_has_grown_long_keeps_no_server_from_answering():
    with labkit.start("single") as lab:
        with lab["n1"].log.path.open("a") as log:
            log.write("a line of a trace\n" * 20_000)
        lab.wait_usable(2)


def test_what_an_earlier_start_complained_of_is_not_told_of_a_later_one():
    with labkit.start({"n1": "listen: 127.0.0.1:4222"}) as lab:
        lab["n1"].stop()
        with socket.socket() as other:
            other.bind(("127.0.0.1", lab["n1"].planned.addresses["client"]))
            other.listen()
            with pytest.raises(TopologyError, match="n1 cannot listen: .*is taken"):
                lab["n1"].start()
        lab["n1"].planned.config_path.write_text("foo: 1")
        with pytest.raises(TopologyError, match='n1.conf:1: unknown field "foo"'):
            lab["n1"].start()


def test_a_paused_server_takes_no_reload_and_no_leave():
    text = "listen: 127.0.0.1:4222\n"
    with labkit.start({"n1": text}) as lab:
        lab["n1"].pause()
        with pytest.raises(ServerStateError, match=r"n1 is paused.*lab\['n1'\]\.resume\(\) first"):
            lab["n1"].reload(f"{text}max_payload: 1000\n")
        with pytest.raises(ServerStateError, match="n1 is paused"):
            lab["n1"].lame_duck()
        assert lab["n1"].config == text
        assert lab["n1"].state == "paused"


def test_a_paused_server_that_is_killed_does_nothing_more():
    with labkit.start("single") as lab:
        port = lab["n1"].planned.addresses["client"]
        lab["n1"].pause()
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            lab["n1"].kill()
            with contextlib.suppress(ConnectionError):
                assert client.recv(100) == b""
        assert lab["n1"].state == "stopped"


def test_a_reload_that_is_refused_here_changes_nothing():
    text = "listen: 127.0.0.1:4222\n"
    with labkit.start({"n1": text}) as lab:
        with pytest.raises(LabError, match=r"could be reached from outside"):
            lab["n1"].reload("listen: 0.0.0.0:4222\n")
        assert lab["n1"].config == text


async def test_a_connect_that_is_given_up_leaves_nothing_behind():
    with labkit.start("single") as lab:
        server = psutil.Process(lab["n1"].pid)
        server.suspend()
        await until(lambda: server.status() == "stopped")
        before = asyncio.all_tasks()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await lab.connect()
        await until(lambda: asyncio.all_tasks() <= before)
        server.resume()


async def test_a_lab_whose_last_server_was_removed_says_what_to_do():
    with labkit.start("single") as lab:
        lab.remove("n1")
        assert len(lab) == 0
        with pytest.raises(TopologyError, match=r"no server is left.*lab\.add"):
            await lab.connect()
