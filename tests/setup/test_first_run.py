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

from labkit import __main__ as front
from labkit import environment as setup

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
    stand_in(clone, 'if [ "$1" = -c ]; then echo True; else echo "handed over: $@"; fi')
    code = f"from labkit import environment as s; open(s.STAMP, 'w').write(s.fingerprint() + ' {extra}')"
    subprocess.run([bare_python(), "-c", code], cwd=clone, check=True)


def stand_in(clone: Path, script: str) -> None:
    """A .venv whose Python is this shell script."""
    python = clone / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    (clone / ".venv" / "pyvenv.cfg").write_text("version = 3.12.1\n")


posix = pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands in for Python")


def test_what_any_python_reads_is_readable_by_python_3_7():
    for name in ("__init__.py", "__main__.py", "environment.py"):
        ast.parse((ROOT / "labkit" / name).read_text(), feature_version=(3, 7))


def test_a_python_that_is_too_old_is_told_so(monkeypatch, capsys):
    monkeypatch.setattr(sys, "version_info", (3, 8, 18, "final", 0))
    monkeypatch.setattr(sys, "argv", ["labkit", "lab"])
    assert front.main() == 1
    said = capsys.readouterr().err
    assert "this is Python 3.8, and 3.11 or newer is needed" in said
    assert "python3.12 -m labkit lab" in said


def test_real_old_pythons_are_told_so(clone: Path):
    found = [p for p in candidates_for_old_pythons() if answers_as_old(p)]
    if not found:
        pytest.skip("no Python from 3.6 to 3.10 here")
    for python in found:
        shown = subprocess.run(
            [python, "-m", "labkit", "lab"], cwd=clone, capture_output=True, text=True, check=False
        )
        assert shown.returncode == 1, python
        assert "and 3.11 or newer is needed" in shown.stderr, shown.stderr


def candidates_for_old_pythons() -> list[str]:
    named = [shutil.which(f"python3.{minor}") for minor in range(6, 11)]
    kept = (Path.home() / ".pyenv" / "versions").glob("3.*/bin/python")
    return [*filter(None, named), *map(str, kept)]


def answers_as_old(python: str) -> bool:
    """Whether this is a Python from 3.6 to 3.10, and not only a version manager's name for one."""
    code = "import sys; sys.exit(not (3, 6) <= sys.version_info < (3, 11))"
    return subprocess.run([python, "-c", code], capture_output=True, check=False).returncode == 0


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
    assert "installing" not in run(clone).stderr
    with (clone / "pyproject.toml").open("a") as file:
        file.write("\n# changed\n")
    shown = run(clone)
    assert "installing what the course needs" in shown.stderr
    assert "handed over: -m labkit.cli --version" in shown.stdout
    assert run(clone).stderr == "", "the new stamp covers the change"


@posix
def test_an_environment_that_got_another_python_is_filled_again(clone: Path):
    stamped(clone)
    (clone / ".venv" / "pyvenv.cfg").write_text("version = 3.13.0\n")
    assert "installing what the course needs" in run(clone).stderr


@posix
def test_a_moved_checkout_is_installed_again(clone: Path):
    stamped(clone)
    moved = clone.rename(clone.with_name("moved"))
    assert "installing what the course needs" in run(moved).stderr


@posix
def test_the_tools_of_developers_are_added_for_the_test_command(clone: Path):
    stamped(clone, "base")
    assert "installing what the course needs" in run(clone, "test").stderr
    log = (clone / ".venv" / "labkit-install.log").read_text()
    assert f"pip install --disable-pip-version-check -e {clone}[dev]" in log


@posix
def test_a_uv_that_is_only_a_name_is_passed_over(clone: Path, tmp_path: Path):
    stamped(clone)
    (clone / ".venv" / "labkit-stamp").unlink()
    name = tmp_path / "bin" / "uv"
    name.parent.mkdir()
    name.write_text("#!/bin/sh\necho 'uv: command not found' >&2; exit 127\n")
    name.chmod(0o755)
    shown = run(clone, path=f"{name.parent}{os.pathsep}{without_uv()}")
    assert "handed over: -m labkit.cli --version" in shown.stdout, shown.stderr


@posix
def test_a_file_in_the_way_is_named(clone: Path):
    stamped(clone)
    (clone / ".venv" / "labkit-stamp").unlink()
    (clone / ".venv" / "labkit-install.log").mkdir()
    shown = run(clone)
    assert shown.returncode == 1
    assert "labkit-install.log cannot be used (Is a directory); delete" in shown.stderr
    assert "Traceback" not in shown.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_told(clone: Path):
    stamped(clone)
    (clone / ".venv" / "labkit-stamp").unlink()
    (clone / ".venv" / "labkit-install.log").symlink_to("/dev/full")
    shown = run(clone)
    assert shown.returncode == 1
    assert shown.stderr.splitlines()[-1] == (
        "labkit: the disk is full; make room (about 1 GB), then run the same command again"
    )


@posix
def test_another_failure_shows_the_last_lines_and_names_the_log(clone: Path):
    stand_in(clone, 'if [ "$1" = -c ]; then echo True; else echo "no wheel for X"; exit 3; fi')
    shown = run(clone)
    log = clone / ".venv" / "labkit-install.log"
    assert f"could not be installed:\n  no wheel for X\nThe whole log is in {log}" in shown.stderr
    assert log.read_text() == "no wheel for X\n"


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
    stand_in(clone, "echo False")
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


def test_a_checkout_that_cannot_be_written_is_told(clone: Path):
    (clone / ".venv.lock").mkdir()  # as for a folder of somebody else's, also where root runs this
    shown = run(clone)
    assert f"{clone} cannot be written" in shown.stderr
    assert "clone into a folder of your own" in shown.stderr
    assert not (clone / ".venv").exists()


@posix
def test_a_checkout_that_cannot_be_written_but_is_complete_is_used(clone: Path):
    stamped(clone)
    (clone / ".venv.lock").mkdir()
    assert run(clone).stdout == "handed over: -m labkit.cli --version\n"


def test_where_labkit_is_installed_no_environment_is_made(clone: Path):
    shown = subprocess.run(
        [sys.executable, "-m", "labkit", "--version"],
        cwd=clone,
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.stdout.startswith("labkit "), shown.stderr
    assert not (clone / ".venv").exists()
    assert not (clone / ".venv.lock").exists()


@posix
def test_the_lock_of_a_process_that_was_killed_holds_nobody_up(clone: Path):
    holding = "from labkit import environment as s; import sys\nwith s.lock(): print(1, flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [bare_python(), "-c", holding], cwd=clone, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as first:
        assert first.stdout and first.stdout.readline() == b"1\n"
        first.kill()
    stamped(clone)
    (clone / ".venv" / "labkit-stamp").unlink()
    shown = run(clone)
    assert "another terminal" not in shown.stderr
    assert "handed over" in shown.stdout


@posix
def test_a_second_terminal_waits_for_the_first(clone: Path):
    holding = "from labkit import environment as s; import sys\nwith s.lock(): print(1, flush=True); sys.stdin.read()"
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


@pytest.mark.alone
@posix
def test_the_way_to_the_command_line_costs_little(clone: Path):
    stamped(clone)
    way = [bare_python(), "-m", "labkit", "--version"]
    bare = [str(clone / ".venv" / "bin" / "python"), "-m", "labkit.cli", "--version"]
    added = min(timed(way, clone) for _ in range(5)) - min(timed(bare, clone) for _ in range(5))
    assert added < 0.3, "seconds, of which most is Python's own start"


def timed(command: list[str], folder: Path) -> float:
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - began
