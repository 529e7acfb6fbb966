"""`python3 -m labkit` in a clone: what it does before there is an environment, and what it says.

The copies here hold the package and pyproject.toml; no index is reached. That a real environment
comes out of it is proven by every run of the suite itself, which is started this way.
"""

from __future__ import annotations

import ast
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from labkit import __main__ as setup

ROOT = Path(setup.ROOT)
NO_INDEX = {
    "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
    "PIP_RETRIES": "0",
    "PIP_FIND_LINKS": "",
    "PIP_NO_CACHE_DIR": "1",
    "UV_INDEX_URL": "http://127.0.0.1:9/simple",
    "UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple",
    "UV_NO_CACHE": "1",
    "UV_HTTP_RETRIES": "0",
}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A checkout without .venv: as much of it as the first run reads."""
    folder = tmp_path / "clone"
    shutil.copytree(
        ROOT / "labkit", folder / "labkit", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder)
    return folder


def bare_python() -> str:
    """The interpreter that this environment was made from: labkit is not installed in it."""
    return getattr(sys, "_base_executable", sys.executable)


def run(clone: Path, *arguments: str, path: str | None = None, **environment: str):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_", "PYTHON"))}
    return subprocess.run(
        [bare_python(), "-m", "labkit", *(arguments or ("--version",))],
        cwd=clone,
        env={**clean, "PATH": without_uv() if path is None else path, **NO_INDEX, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def without_uv() -> str:
    folders = os.environ["PATH"].split(os.pathsep)
    return os.pathsep.join(f for f in folders if not shutil.which("uv", path=f))


def stamped(clone: Path, extra: str = "base", **changes: str) -> None:
    """An environment as a complete install leaves it; its Python is a script that says so."""
    python = clone / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "handed over: $@"\n')
    python.chmod(0o755)
    (clone / ".venv" / "pyvenv.cfg").write_text("")
    code = (
        f"from labkit import __main__ as s; open(s.STAMP, 'w').write(s.fingerprint() + ' {extra}')"
    )
    subprocess.run([bare_python(), "-c", code], cwd=clone, check=True)


posix = pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands in for Python")


def test_what_any_python_reads_is_readable_by_python_3_7():
    for name in ("__init__.py", "__main__.py"):
        ast.parse((ROOT / "labkit" / name).read_text(), feature_version=(3, 7))


def test_a_python_that_is_too_old_is_told_so(monkeypatch, capsys):
    monkeypatch.setattr(sys, "version_info", (3, 8, 18, "final", 0))
    monkeypatch.setattr(sys, "argv", ["labkit", "lab"])
    assert setup.main() == 1
    said = capsys.readouterr().err
    assert "this is Python 3.8, and 3.11 or newer is needed" in said
    assert "python3.12 -m labkit lab" in said


@pytest.mark.skipif(shutil.which("python3.8") is None, reason="no Python 3.8 on PATH")
def test_a_real_old_python_is_told_so(clone: Path):
    shown = subprocess.run(
        ["python3.8", "-m", "labkit", "lab"], cwd=clone, capture_output=True, text=True, check=False
    )
    if "pyenv" in shown.stderr:
        pytest.skip("python3.8 is only a name here")
    assert "3.11 or newer is needed" in shown.stderr


@posix
def test_with_a_stamp_nothing_is_installed_and_the_arguments_are_handed_over(clone: Path):
    stamped(clone)
    shown = run(clone, "lab", "--no-browser")
    assert shown.stdout == "handed over: -m labkit.cli lab --no-browser\n"
    assert shown.stderr == ""


@posix
def test_the_test_command_wants_the_tools_of_developers_too(clone: Path):
    stamped(clone, "dev")
    assert "handed over" in run(clone, "test", "-k", "x").stdout
    assert "handed over" in run(clone, "lab").stdout, "more than needed is enough"


@posix
def test_a_changed_list_of_dependencies_is_installed_again(clone: Path):
    stamped(clone)
    with (clone / "pyproject.toml").open("a") as file:
        file.write("\n# changed\n")
    shown = run(clone)
    assert "handed over" not in shown.stdout or "installing" in shown.stderr


def test_no_network_on_the_first_run_is_told_and_the_next_run_goes_on(clone: Path):
    for _ in range(2):
        shown = run(clone)
        assert shown.returncode == 1
        assert (
            "The first run needs the internet, once; connect, then run the same command again"
            in (shown.stderr)
        )
        assert "Traceback" not in shown.stderr
    assert not (clone / ".venv" / "labkit-stamp").exists()


@pytest.mark.skipif(shutil.which("uv") is None, reason="no uv on PATH")
def test_no_network_is_told_with_uv_too(clone: Path):
    shown = run(clone, path=os.environ["PATH"])
    assert "The first run needs the internet, once" in shown.stderr


def test_a_half_made_environment_is_made_anew(clone: Path):
    (clone / ".venv").mkdir()
    (clone / ".venv" / "pyvenv.cfg").write_text("home = /nowhere\n")
    shown = run(clone)
    assert "found a half-made .venv, making it anew" in shown.stderr
    assert (clone / ".venv" / ("Scripts" if os.name == "nt" else "bin")).is_dir()


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_venv_that_is_none_is_left_alone_and_told(clone: Path, kind: str):
    mine = clone / ".venv" if kind == "file" else clone / ".venv" / "mine.txt"
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("precious")
    shown = run(clone)
    assert (
        "is no virtual environment; move it away, then run the same command again" in shown.stderr
    )
    assert mine.read_text() == "precious"


@posix
def test_an_environment_of_an_older_python_is_told(clone: Path):
    python = clone / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho False\n")
    python.chmod(0o755)
    (clone / ".venv" / "pyvenv.cfg").write_text("")
    assert "made with a Python older than 3.11; delete it, then run" in run(clone).stderr


def test_a_python_without_venv_is_told_what_to_install(clone: Path, tmp_path: Path):
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['ensurepip'] = None\n")
    shown = run(clone, PYTHONPATH=str(tmp_path))
    assert "comes without its venv module" in shown.stderr
    assert "sudo apt install python3-venv" in shown.stderr


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("ERROR: [Errno 28] No space left on device", "the disk is full; make room"),
        ("error sending request for url", "needs the internet, once"),
        (
            "one\nERROR: resolution impossible",
            "could not be installed:\n  one\n  ERROR: resolution",
        ),
    ],
)
def test_a_failed_install_is_explained(said: str, sentence: str):
    assert sentence in setup.explain(said)


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0,
    reason="root may write anywhere, Windows asks otherwise",
)
def test_a_checkout_that_cannot_be_written_is_told(clone: Path):
    clone.chmod(0o500)
    try:
        assert "clone into a folder of your own" in run(clone).stderr
    finally:
        clone.chmod(0o700)


@posix
def test_a_second_terminal_waits_for_the_first(clone: Path):
    holding = "from labkit import __main__ as s; import sys\nwith s.lock(): print(1, flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [bare_python(), "-c", holding], cwd=clone, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as first:
        assert first.stdout and first.stdout.readline() == b"1\n"
        second = subprocess.Popen(
            [bare_python(), "-m", "labkit", "--version"],
            cwd=clone,
            env={**os.environ, "PATH": without_uv(), **NO_INDEX},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert second.stderr
        assert "another terminal sets up the environment" in second.stderr.readline()
        stamped(clone)
        assert first.stdin
        first.stdin.close()
    out, _ = second.communicate(timeout=30)
    assert out == "handed over: -m labkit.cli --version\n"


@posix
def test_an_interrupted_install_is_one_sentence(clone: Path):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # an index that never answers
        index = f"http://127.0.0.1:{silent.getsockname()[1]}/simple"
        process = subprocess.Popen(
            [bare_python(), "-m", "labkit", "--version"],
            cwd=clone,
            env={**os.environ, "PATH": without_uv(), **NO_INDEX, "PIP_INDEX_URL": index},
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,  # as a terminal's: Ctrl-C reaches all of it
            # a job in the background, as CI may be, would hand down that SIGINT is ignored
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        assert process.stderr
        assert "installing what the course needs" in process.stderr.readline()
        silent.accept()  # now pip waits for the index
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert said == "\nlabkit: stopped while setting up; to go on, run the same command again\n"
    assert process.returncode == 130


@posix
def test_the_way_to_the_command_line_costs_little(clone: Path):
    stamped(clone)
    command = [bare_python(), "-m", "labkit", "--version"]
    best = min(timed(command, clone) for _ in range(5))
    assert best < 0.5, "seconds, of which most is Python's own start"


def timed(command: list[str], folder: Path) -> float:
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - began
