"""Running JupyterLab on the workspace: on loopback, quiet, offline, and gone when it is stopped."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from labkit.course.progress import HIDDEN, WORKSPACE_VARIABLE
from labkit.servers import ports
from labkit.servers.errors import LabError
from labkit.servers.wait import wait_until

FIRST_PORT = 8888
TRIES = 50  # ports from the first one on
START_TIMEOUT = 60.0  # seconds; a first start on a slow disk takes 10
STOP_TIMEOUT = 10.0  # seconds for JupyterLab to end its kernels
FIRST_PAGE = "00-start-here.ipynb"


class JupyterError(LabError):
    """JupyterLab could not be started."""


def serve(folder: Path, port: int | None, browser: bool) -> int:
    """Run JupyterLab on `folder` until Ctrl-C or SIGTERM; returns an exit code.

    Prints the URL once the page is there. Raises JupyterError when it does not come up.
    """
    chosen = choose_port(port)
    if port is None and chosen != FIRST_PORT:
        print(f"port {FIRST_PORT} is taken (a JupyterLab that runs already?), using {chosen}")
    token = secrets.token_hex(16)
    log = folder / HIDDEN / f"jupyter-{chosen}.log"
    url = f"http://{ports.LOOPBACK}:{chosen}/lab/tree/{FIRST_PAGE}?token={token}"
    print("starting JupyterLab …", flush=True)
    with log.open("wb") as output, _terminable():
        server = subprocess.Popen(
            _command(folder, chosen),
            env=_environment(folder, token),
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            start_new_session=sys.platform != "win32",  # Ctrl-C comes here first, then goes there
        )
        try:
            wait_until(lambda: _answers(server, chosen, token, log), START_TIMEOUT, "JupyterLab")
            print(f"\n  The course is at\n  {url}\n\n  Stop it with Ctrl-C here.\n", flush=True)
            if browser and not webbrowser.open(url):
                print("  (No browser could be opened: copy the address into one.)", flush=True)
            code = server.wait()
            raise JupyterError(f"JupyterLab ended by itself (exit code {code}); see {log}")
        except KeyboardInterrupt:
            print("\nstopping JupyterLab and its notebooks …", flush=True)
            return 0
        finally:
            _end(server)


def choose_port(wanted: int | None) -> int:
    """The port asked for, or the first free one from 8888 on. Raises JupyterError for a taken one."""
    candidates = [wanted] if wanted is not None else range(FIRST_PORT, FIRST_PORT + TRIES)
    for port in candidates:
        if ports.is_free(port):
            return port
    by = ports.holder(candidates[0])
    raise JupyterError(
        f"port {candidates[0]} is taken{' by ' + by if by else ''}; "
        "choose another with --port, or leave it out"
    )


def _command(folder: Path, port: int) -> list[str]:
    return [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        f"--ServerApp.root_dir={folder}",
        f"--ServerApp.ip={ports.LOOPBACK}",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        "--ServerApp.allow_root=True",  # containers and CI; it listens on loopback, with a token
        "--ServerApp.log_level=WARN",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",  # the course is offline
        f"--LabApp.app_settings_dir={_settings(folder)}",
        "--LabApp.extension_manager=readonly",
    ]


def _settings(folder: Path) -> Path:
    """Settings under those of the user: no question about news, which would need the internet."""
    settings = folder / HIDDEN / "lab-settings"
    settings.mkdir(parents=True, exist_ok=True)
    quiet = {"fetchNews": "false", "checkForUpdates": False}
    overrides = {"@jupyterlab/apputils-extension:notification": quiet}
    (settings / "overrides.json").write_text(json.dumps(overrides), "utf-8")
    return settings


def _environment(folder: Path, token: str) -> dict[str, str]:
    return {
        **os.environ,
        WORKSPACE_VARIABLE: str(folder),
        # which tabs are open belongs to this workspace, not to every JupyterLab of the user's
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / HIDDEN / "lab-layout"),
        "JUPYTER_TOKEN": token,  # not on the command line, where others on the machine could read it
        "JUPYTER_PREFER_ENV_PATH": "1",  # this environment's kernel, not another one of the user's
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }


def _answers(server: subprocess.Popen[bytes], port: int, token: str, log: Path) -> bool:
    """Whether the page is served. Raises JupyterError with its log when JupyterLab has ended."""
    if server.poll() is not None:
        said = "\n".join(log.read_text(errors="replace").strip().splitlines()[-8:])
        raise JupyterError(f"JupyterLab did not start (exit code {server.returncode}):\n{said}")
    request = urllib.request.Request(
        f"http://{ports.LOOPBACK}:{port}/api/status", headers={"Authorization": f"token {token}"}
    )
    with contextlib.suppress(urllib.error.URLError, OSError, ValueError):
        with urllib.request.urlopen(request, timeout=2) as answer:
            return "started" in json.load(answer)
    return False


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Within the block a SIGTERM ends like Ctrl-C."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(server: subprocess.Popen[bytes]) -> None:
    """End JupyterLab, which ends its kernels, which ends their labs."""
    if server.poll() is None:
        server.terminate()
        try:
            server.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
