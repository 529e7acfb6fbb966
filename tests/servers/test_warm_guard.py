"""One guard serves all labs of a process, and each of them ends as if it had a guard of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

import labkit
from labkit.servers import processes, warm_guard
from labkit.servers.errors import LabError
from labkit.servers.probe import read_info
from labkit.servers.wait import wait_until
from tests.servers import kernels

on_unix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
HUB_AND_LEAF = {
    "hub": "listen: 127.0.0.1:4222\nleafnodes { listen: 127.0.0.1:7422 }",
    "leaf": "listen: 127.0.0.1:4223\nleafnodes { remotes: [ { url: nats-leaf://127.0.0.1:7422 } ] }",
}


def answers(lab: labkit.Lab) -> bool:
    """Whether every server of the lab greets a client."""
    return all(read_info(server.planned.addresses["client"]) for server in lab.values())


def record_of(lab: labkit.Lab) -> processes.LabRecord:
    (record,) = [r for r in processes.every_lab() if r.folder == lab.folder]
    return record


def gone(*pids: int | None) -> None:
    """Wait until none of these processes runs."""
    wait_until(lambda: not any(kernels.runs(pid) for pid in pids if pid), 5, f"{pids} to end")


def run(script: str, temp: Path, timeout: float = 30) -> subprocess.CompletedProcess[str]:
    """Run a script with a temporary folder of its own; AssertionError with what it said if it fails."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", script],
        env={**os.environ, "TMPDIR": str(temp)},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_labs_one_after_another_and_side_by_side_have_one_guard(own_temp: Path):
    with labkit.start("single") as first:
        guard = first._guard.pid
    assert list(own_temp.iterdir()) == []
    with labkit.start("single") as one, labkit.start("leaf-nodes") as two:
        assert {one._guard.pid, two._guard.pid} == {guard}
        assert one.folder != two.folder
        assert {r.folder for r in processes.every_lab()} == {one.folder, two.folder}


def test_a_lab_that_stops_takes_nothing_of_the_others_along(own_temp: Path):
    with labkit.start(HUB_AND_LEAF) as stays:
        goes = labkit.start(HUB_AND_LEAF)
        pids = [server.pid for server in goes.values()]
        goes.stop()
        gone(*pids)
        assert list(own_temp.iterdir()) == [stays.folder]
        assert answers(stays)
        stays.cut("leaf", "hub")
        stays.heal()


def test_the_links_of_two_labs_are_cut_each_for_itself():
    with labkit.start(HUB_AND_LEAF) as one, labkit.start(HUB_AND_LEAF) as two:
        one.cut("leaf", "hub")
        assert [link.up for link in one.links()] == [False]
        assert [link.up for link in two.links()] == [True]
        assert not two.cuts


@pytest.mark.skipif(sys.platform != "linux", reason="counts by Linux's own means")
def test_labs_that_have_ended_leave_nothing_open_in_the_guard():
    labkit.start(HUB_AND_LEAF).stop()
    guard = psutil.Process(warm_guard.current()[0].pid)
    at_rest = 2  # threads: one serves, one heeds signals
    wait_until(lambda: guard.num_threads() == at_rest, 5, "the guard to come to rest")
    before = guard.num_fds()
    for _ in range(3):
        labkit.start(HUB_AND_LEAF).stop()
    wait_until(lambda: guard.num_threads() == at_rest, 5, "the guard to come to rest")
    assert guard.num_fds() == before
    assert guard.children() == []


def test_one_of_two_labs_is_stopped_from_elsewhere_and_the_other_goes_on(own_temp: Path):
    with labkit.start("single") as stays:
        goes = labkit.start("single")
        pid = goes["n1"].pid
        code = (
            "from labkit.servers.processes import every_lab, stop_lab\n"
            f"[r] = [r for r in every_lab() if r.folder.name == {goes.folder.name!r}]\n"
            "stop_lab(r)\n"
        )
        run(code, own_temp)
        gone(pid)
        assert list(own_temp.iterdir()) == [stays.folder]
        wait_until(lambda: goes["n1"].state == "exited", 5, "the lab to see it")
        with pytest.raises(LabError, match="guard of this lab is gone.*Start the lab again"):
            goes["n1"].start()
        goes.stop()
        assert answers(stays)
        stays["n1"].restart()


def test_the_command_line_stops_every_lab_of_a_process(own_temp: Path):
    one, two = labkit.start("single"), labkit.start("leaf-nodes")
    code = f"import sys; from labkit.cli import main; sys.exit(main(['stop', '{os.getpid()}']))"
    assert run(code, own_temp).stdout.count("stopped ") == 2
    assert list(own_temp.iterdir()) == []
    one.stop()
    two.stop()
    with labkit.start("single") as third:  # the guard is still there for more
        assert answers(third)


@on_unix
def test_a_lab_is_stopped_from_elsewhere_while_it_starts_and_never_its_guard(own_temp: Path):
    with labkit.start("single") as stays:
        guard = stays._guard.pid
        for delay in range(10):
            starting = threading.Thread(target=start_and_give_up)
            starting.start()
            time.sleep(delay / 1000)  # what is tried here is every moment of a start
            for record in processes.every_lab():
                if record.folder != stays.folder:
                    processes.stop_lab(record)
            starting.join()
        assert answers(stays)
        assert psutil.pid_exists(guard)
        assert list(own_temp.iterdir()) == [stays.folder]


def start_and_give_up() -> None:
    """Start a lab that somebody may end meanwhile, and stop it."""
    with contextlib.suppress(LabError):
        labkit.start({"other": ""}).stop()


@on_unix
@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL"])
def test_a_guard_that_is_ended_in_its_first_20_ms_leaves_nothing(own_temp: Path, name: str):
    for delay in range(0, 21, 2):
        warm_guard.end_all()
        guard = psutil.Process(warm_guard.current()[0].pid)
        starting = threading.Thread(target=start_and_give_up)
        starting.start()
        time.sleep(delay / 1000)  # what is tried here is every moment of a start
        servers = guard.children()
        os.kill(guard.pid, signal.Signals[name])
        starting.join()
        gone(guard.pid, *[server.pid for server in servers])
        assert list(own_temp.iterdir()) == []
    assert labkit.running() == []


@on_unix
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGKILL"])
def test_after_a_signal_to_the_guard_its_labs_are_gone_and_the_next_start_has_a_new_one(
    own_temp: Path, name: str
):
    one, two = labkit.start("single"), labkit.start(HUB_AND_LEAF)
    guard, pids = one._guard.pid, [s.pid for lab in (one, two) for s in lab.values()]
    os.kill(guard, signal.Signals[name])
    with labkit.start("single") as three:
        assert three._guard.pid != guard
        gone(*pids)
        for lab, server in ((one, "n1"), (two, "hub")):
            wait_until(lambda: lab[server].state == "exited", 5, "the lab to see it")  # noqa: B023
            with pytest.raises(LabError, match="guard of this lab is gone.*Start the lab again"):
                lab[server].start()
            lab.stop()
        assert list(own_temp.iterdir()) == [three.folder]
        assert answers(three)


@on_unix
def test_a_guard_that_is_killed_while_it_is_idle_is_replaced_at_once(own_temp: Path):
    for _ in range(10):
        with labkit.start("single") as lab:
            guard = lab._guard.pid
        os.kill(guard, signal.SIGKILL)
        with labkit.start("single") as lab:
            assert lab._guard.pid != guard


@on_unix
def test_a_guard_that_hangs_is_replaced_and_keeps_its_labs(own_temp: Path, monkeypatch):
    monkeypatch.setattr(processes, "WARM_TIMEOUT", 0.2)
    with labkit.start("single") as old:
        guard = psutil.Process(old._guard.pid)
        guard.suspend()
        with labkit.start("single") as new:
            assert new._guard.pid != guard.pid
            guard.resume()
            old["n1"].restart()
            assert answers(new)
    gone(guard.pid)  # it was of no more use
    assert list(own_temp.iterdir()) == []


def test_a_process_whose_labs_are_stopped_ends_at_once_and_leaves_nothing(own_temp: Path):
    script = (
        "import labkit, time\n"
        "with labkit.start('single') as lab: pass\n"
        "print(lab._guard.pid, time.time())\n"
    )
    done = run(script, own_temp)
    ended, (guard, told) = time.time(), done.stdout.split()
    assert ended - float(told) < 2
    assert not psutil.pid_exists(int(guard))
    assert list(own_temp.iterdir()) == []
    assert done.stderr == ""


@on_unix
def test_an_idle_guard_ends_with_a_killed_owner(own_temp: Path):
    script = (
        "import os, labkit\n"
        "labkit.start('single').stop(); lab = labkit.start('single'); pid = lab._guard.pid\n"
        "lab.stop(); print(pid, flush=True); os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "TMPDIR": str(own_temp)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL
    gone(int(done.stdout))
    assert list(own_temp.iterdir()) == []


@on_unix
def test_a_forked_child_starts_labs_under_a_guard_of_its_own(own_temp: Path):
    script = (
        "import os, labkit\n"
        "lab = labkit.start('single')\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    with labkit.start('single') as own:\n"
        "        assert own._guard.pid != lab._guard.pid\n"
        "        assert own['n1'].monitor('varz')['server_name'] == 'n1'\n"
        "    raise SystemExit(3)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3\n"
        "assert lab['n1'].monitor('varz')['server_name'] == 'n1'\n"
        "lab['n1'].restart()\n"
        "lab.stop()\n"
    )
    run(script, own_temp)
    assert list(own_temp.iterdir()) == []


def test_labs_started_by_several_threads_at_once_share_one_guard(own_temp: Path):
    warm_guard.end_all()
    found: list[labkit.Lab] = []
    threads = [
        threading.Thread(target=lambda: found.append(labkit.start("single"))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len({lab._guard.pid for lab in found}) == 1
    assert all(answers(lab) for lab in found)
    for lab in found:
        lab.stop()


def test_servers_see_the_environment_of_their_labs_start(monkeypatch):
    for payload in (1000, 2000):
        monkeypatch.setenv("LABKIT_TEST_PAYLOAD", str(payload))
        with labkit.start({"n1": "max_payload: $LABKIT_TEST_PAYLOAD"}) as lab:
            monkeypatch.delenv("LABKIT_TEST_PAYLOAD")
            lab["n1"].restart()
            assert read_info(lab["n1"].planned.addresses["client"])["max_payload"] == payload


def test_a_run_folder_that_somebody_removes_harms_no_other_lab(own_temp: Path):
    with labkit.start("single") as stays:
        lab = labkit.start("single")
        shutil.rmtree(lab.folder)
        with pytest.raises(LabError, match="n1 could not be started: .*No such file"):
            lab["n1"].restart()
        lab.stop()
        assert answers(stays)
        stays["n1"].restart()


def test_what_a_guard_says_when_it_cannot_run_is_told(own_temp: Path, monkeypatch):
    warm_guard.end_all()
    broken = own_temp.parent / "guard.py"
    broken.write_text("raise RuntimeError('no guard today')\n")
    monkeypatch.setattr(warm_guard, "GUARD", broken)
    with pytest.raises(LabError, match="the guard of this lab is gone: RuntimeError: no guard to"):
        labkit.start("single")
