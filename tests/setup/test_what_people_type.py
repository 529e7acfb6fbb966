"""Each command that README and the notebooks name, typed where a learner would type it.

In a shell of their own with a Python that has no labkit, in the clone and in the folders of their
copies; in a terminal of JupyterLab; and in a cell. `.venv` of the clone is this environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import websocket

import labkit
from labkit import environment
from labkit.course import notebooks
from tests.servers import kernels

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="types into POSIX shells")

ROOT = Path(environment.ROOT)
PATIENCE = 60.0  # seconds for a command to end or to serve
SERVES = ("lab", "slides")  # until they are stopped
NOT_ALL_OF_IT = {"lab": "--no-browser", "slides": "--no-browser", "test": "--version"}


def pages() -> str:
    """All that a learner reads: README, and the text and code of the notebooks."""
    texts = [(ROOT / "README.md").read_text("utf-8")]
    texts += [
        cell.source for path in notebooks.every_notebook() for cell in notebooks.read(path).cells
    ]
    return "\n".join(texts)


def named(way: str) -> list[str]:
    """The commands, as in "reset 11", that pages name with this way of calling labkit."""
    begins = "(?:^|`)" if way.startswith("python3") else "`"  # a line of a block, or among words
    command = re.compile(rf"{begins}{re.escape(way)} ([a-z]+(?: [-\w]+)*)", re.MULTILINE)
    return list(dict.fromkeys(command.findall(pages())))


COMMANDS = list(  # each once, with the first arguments that are named
    {c.split()[0]: c for c in reversed(named("python3 -m labkit") + named("labkit"))}.values()
)
CELLS = list(
    dict.fromkeys(re.findall(r"`(labkit\.(?:doctor|ps|reset|slides|stop)\([^)`]*\))`", pages()))
)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone whose .venv has everything, and beside it a `python3` that has nothing."""
    folder = tmp_path_factory.mktemp("newcomer") / "clone"
    for name in ("labkit", "notebooks", "server-configs"):
        litter = shutil.ignore_patterns("__pycache__", "made")
        shutil.copytree(ROOT / name, folder / name, ignore=litter)
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "tests").mkdir()
    bare = getattr(sys, "_base_executable", sys.executable)
    script(folder / ".venv/bin/python", f'PYTHONPATH="{folder}" exec "{sys.executable}" "$@"')
    script(folder.parent / "bin/python3", f'exec "{bare}" "$@"')
    (folder / ".venv" / "pyvenv.cfg").write_text("version = 3.12.1\n")
    stamp = (
        "from labkit import environment as e; open(e.STAMP, 'w').write(e.fingerprint() + ' dev')"
    )
    type_in(folder, f'python3 -c "{stamp}"', folder)
    type_in(folder, 'python3 -c "from labkit.course import workspace"', folder, ends_with=1)
    return folder


def script(path: Path, line: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def newcomer(clone: Path) -> dict[str, str]:
    """The environment of somebody's shell: no labkit, no nats-server, labs of their own."""
    home = clone.parent / "home"
    home.mkdir(exist_ok=True)
    return {
        "PATH": f"{clone.parent / 'bin'}:/usr/bin:/bin",
        "HOME": str(home),
        "TMPDIR": str(home),  # `stop --all` ends the labs that are noted there
        "SHELL": "/bin/sh",
        "PYTHONUNBUFFERED": "1",
    }


def type_in(clone: Path, line: str, folder: Path, ends_with: int = 0) -> str:
    """Type a line into a shell in this folder; what it printed, once it ended well or serves."""
    shell = subprocess.Popen(
        f"exec {line}",  # Ctrl-C is for the command, not for the shell
        shell=True,
        cwd=folder,
        env=newcomer(clone),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert shell.stdout
    printed = ""
    for text in shell.stdout:
        printed += text
        if "http://" in text:
            os.killpg(shell.pid, signal.SIGINT)
    assert shell.wait(PATIENCE) == ends_with, f"{line}: {printed}"
    return printed


class Terminal:
    """A terminal in JupyterLab's page, by the same WebSocket that the page uses."""

    def __init__(self, url: str, folder: str = "") -> None:
        base, token = re.fullmatch(r"http://(.*?)/lab/.*\?token=(\w+)", url).groups()
        request = urllib.request.Request(
            f"http://{base}/api/terminals",
            json.dumps({"cwd": folder}).encode(),
            {"Authorization": f"token {token}"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            name = json.load(answer)["name"]
        address = f"ws://{base}/terminals/websocket/{name}?token={token}"
        self.socket = websocket.create_connection(address, timeout=1)

    def type(self, keys: str, until: str) -> str:
        """Type, and return what is shown up to the pattern `until`."""
        self.socket.send(json.dumps(["stdin", keys]))
        shown, deadline = "", time.monotonic() + PATIENCE
        while not re.search(until, shown):
            assert time.monotonic() < deadline, f"{keys!r}: {shown}"
            with contextlib.suppress(websocket.WebSocketTimeoutException):  # look at the deadline
                kind, *text = json.loads(self.socket.recv())
                shown += text[0] if kind == "stdout" else ""
        return shown


@pytest.fixture(scope="module")
def page(clone: Path) -> Iterator[str]:
    """The address of a JupyterLab that was started as README says."""
    lab = subprocess.Popen(
        ["python3", "-m", "labkit", "lab", "--no-browser"],
        executable=clone.parent / "bin/python3",
        cwd=clone,
        env=newcomer(clone),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert lab.stdout
    yield next(line.strip() for line in lab.stdout if "http://" in line)
    lab.send_signal(signal.SIGTERM)
    lab.communicate(timeout=30)


def in_full(command: str) -> str:
    """The command with what keeps it from opening a browser, or from running the whole suite."""
    return f"{command} {NOT_ALL_OF_IT.get(command.split()[0], '')}".strip()


def test_pages_name_commands_for_each_place():
    assert {"lab", "test", "reset", "slides", "doctor", "ps", "stop"} <= {
        command.split()[0] for command in named("python3 -m labkit")
    }
    assert "reset 11" in named("labkit")
    assert {'labkit.reset("11")', 'labkit.slides("10")'} <= set(CELLS)


@pytest.mark.parametrize("command", COMMANDS)
def test_in_ones_own_shell_in_the_clone(clone: Path, command: str):
    type_in(clone, f"python3 -m labkit {in_full(command)}", clone)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.split()[0] not in SERVES])
def test_in_ones_own_shell_among_the_copies(clone: Path, page: str, command: str):
    type_in(clone, f"python3 -m labkit {in_full(command)}", clone / "workspace")


def test_in_ones_own_shell_in_a_folder_of_the_copies(clone: Path, page: str):
    shown = type_in(clone, "python3 -m labkit reset 11", clone / "workspace" / "1-connectivity")
    assert "your copy is kept as 11-publish-subscribe.kept-" in shown


def test_in_a_terminal_of_jupyterlab(clone: Path, page: str):
    terminal = Terminal(page)
    for command in COMMANDS:
        line = f"labkit {in_full(command)}"
        if command.split()[0] in SERVES:
            terminal.type(f"{line}\r", until="http://.*token=")
            terminal.type("\x03", until="stopping JupyterLab")
            line = ":"
        shown = terminal.type(f"{line}; echo ended with $?\r", until=r"ended with \d+")
        assert "ended with 0" in shown, shown


def test_a_terminal_of_jupyterlab_knows_its_workspace_and_the_server(clone: Path, page: str):
    terminal = Terminal(page, folder="1-connectivity")
    shown = terminal.type(
        "python3 -m labkit doctor; nats-server --version\r", until=r"nats-server: v\d"
    )
    assert f"workspace              {clone / 'workspace'}" in shown


@pytest.mark.parametrize("cell", CELLS)
def test_in_a_cell(clone: Path, page: str, cell: str, monkeypatch: pytest.MonkeyPatch):
    for name, value in newcomer(clone).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LABKIT_WORKSPACE", str(clone / "workspace"))
    with kernels.kernel() as kernel:
        kernel.run(f"import labkit\n{cell}")


def test_the_address_of_slides_that_a_cell_says_leads_there(
    clone: Path, page: str, monkeypatch: pytest.MonkeyPatch
):
    for name, value in newcomer(clone).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LABKIT_WORKSPACE", str(clone / "workspace"))
    said = repr(labkit.slides("10"))
    address = said.removeprefix("The slides are at ")
    assert address == page.partition("/lab/")[0] + "/rise/1-connectivity/10-lecture.ipynb"
    assert "token" not in said, "it would be saved with the notebook"
    logged_in = urllib.request.Request(address, headers={"Authorization": f"token {page[-32:]}"})
    with urllib.request.urlopen(logged_in, timeout=30) as answer:
        assert b"rise" in answer.read().lower()


def test_a_cell_that_asks_for_slides_is_told_where_there_are_none(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    with pytest.raises(labkit.LabError, match="no JupyterLab runs on .*labkit slides 10"):
        labkit.slides("10")
    with pytest.raises(labkit.LabError, match="11-publish-subscribe.ipynb isn.t a lecture"):
        labkit.slides("11")
