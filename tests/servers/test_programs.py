"""`lab.run`: a Python file as a process beside the servers, which ends with the lab."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

import labkit
from labkit.servers.errors import LabError

FAVOURITES = Path(__file__).parents[2] / "notebooks/2-microservices/favourites.py"


def written(folder: Path, text: str, name: str = "program.py") -> Path:
    path = folder / name
    path.write_text(textwrap.dedent(text))
    return path


async def test_a_service_answers_when_run_returns_and_drains_when_it_is_stopped():
    async with labkit.start("single") as lab:
        service = await lab.run.aio(FAVOURITES, "--owner", "grace")
        nc = await lab.connect()
        answer = await nc.request("favourites.get", b"colour", timeout=1)
        assert answer.data == b"green"
        ping = json.loads((await nc.request("$SRV.PING.favourites", timeout=1)).data)
        assert ping["metadata"] == {"owner": "grace"}
        assert service.said.startswith("favourites 1.0.0 of grace is ready")
        await service.stop.aio()
        assert (service.alive, service.exit) == (False, 0)
        assert [event.what for event in lab.events][-2:] == ["start", "stop"]


async def test_each_has_its_name_and_finds_the_server_that_was_asked_for():
    async with labkit.start("cluster") as lab:
        first = await lab.run.aio(FAVOURITES, server="n2")
        second = await lab.run.aio(FAVOURITES, server="n3")
        third = await lab.run.aio(FAVOURITES, server="n3", name="edsger")
        assert [program.name for program in (first, second, third)] == [
            "favourites",
            "favourites-2",
            "edsger",
        ]
        clients = {name: len(lab[name].monitor("connz")["connections"]) for name in lab}
        assert clients == {"n1": 0, "n2": 1, "n3": 2}


def test_a_killed_program_is_gone_and_a_paused_one_goes_on(tmp_path):
    path = written(tmp_path, "import time\nprint('ready')\ntime.sleep(60)\n")
    with labkit.start("single") as lab:
        one, other = lab.run(path), lab.run(path)
        one.kill()
        one.kill()
        assert repr(one) == f"program: ended, exit code {one.exit}"
        assert not psutil.pid_exists(one.pid)
        other.pause()
        assert repr(other) == "program-2: paused"
        other.resume()
        other.pause()
        other.stop()
        assert not other.alive
        with pytest.raises(LabError, match=r"program has ended, with exit code"):
            one.pause()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to be deaf to")
def test_a_program_that_does_not_want_to_end_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr("labkit.servers.programs.STOP_TIMEOUT", 0.2)
    deaf = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ready')\n"
    with labkit.start("single") as lab:
        program = lab.run(written(tmp_path, deaf + "time.sleep(60)\n"))
        program.stop()
        assert program.exit == -signal.SIGKILL


def test_what_cannot_run_is_told_with_its_own_words(tmp_path, monkeypatch):
    monkeypatch.setattr("labkit.servers.programs.FIRST_LINE_TIMEOUT", 0.5)
    with labkit.start("single") as lab:
        with pytest.raises(
            LabError, match=r"no program favorites.py in .*; there is favourites.py"
        ):
            lab.run(FAVOURITES.with_name("favorites.py"))
        with pytest.raises(LabError, match=r"(?s)exit code 1\. It said:.*ZeroDivisionError"):
            lab.run(written(tmp_path, "1 / 0", "broken.py"))
        silent = written(tmp_path, "import time\ntime.sleep(60)\n", "silent.py")
        with pytest.raises(LabError, match=r"silent-2 to print a line.*it was ended"):
            lab.run(silent)
        assert not [p for p in psutil.Process().children(recursive=True) if "silent" in p.cmdline()]


def test_a_program_ends_with_the_lab(tmp_path):
    path = written(tmp_path, "import time\nprint('ready')\ntime.sleep(60)\n")
    lab = labkit.start("single")
    program = lab.run(path)
    lab.stop()
    assert not psutil.pid_exists(program.pid)
    assert program.said == ""


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9")
def test_a_program_ends_with_its_owner_also_after_kill_9(tmp_path):
    path = written(tmp_path, "import time\nprint('ready')\ntime.sleep(60)\n")
    script = f"import labkit, os\nlab = labkit.start('single')\nprint(lab.run({str(path)!r}).pid, flush=True)\ninput()\n"
    owner = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    pid = int(owner.stdout.readline())
    assert psutil.pid_exists(pid)
    os.kill(owner.pid, signal.SIGKILL)
    owner.communicate()
    deadline = time.monotonic() + 5
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not psutil.pid_exists(pid)


async def test_programs_can_be_started_side_by_side():
    with labkit.start("single") as lab:
        owners = [f"owner-{number}" for number in range(5)]
        team = await asyncio.gather(
            *(lab.run.aio(FAVOURITES, "--owner", owner, name=owner) for owner in owners)
        )
        assert len({program.pid for program in team}) == 5
        assert all(f"of {o} is ready" in p.said for o, p in zip(owners, team, strict=True))


def test_no_request_of_a_caller_that_asks_again_is_lost_while_instances_come_and_go():
    command = [
        sys.executable,
        str(FAVOURITES.parents[2] / "benchmarks/services_under_load.py"),
        "1500",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "asked again where no answer came: 0 of 1,500 failed" in done.stdout
