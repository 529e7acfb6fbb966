"""Running JupyterLab on the workspace: on loopback, quiet, offline, and gone with who started it.

Run as `python -m labkit.course.jupyter`, it is the JupyterLab process itself, which ends when the
pipe on its standard input closes: when `labkit lab` ends, however it ends.
"""

from __future__ import annotations

import contextlib
import json
import logging
import logging.handlers
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from labkit.course import kernel, slides
from labkit.course.store import HIDDEN, WORKSPACE_VARIABLE
from labkit.course.workspace import LAUNCHER
from labkit.servers import ports
from labkit.servers.errors import LabError, NotInTimeError
from labkit.servers.wait import wait_until

FIRST_PORT = 8888
TRIES = 50  # ports from the first one on
START_TIMEOUT = 60.0  # seconds; a first start on a slow disk takes 10
STOP_TIMEOUT = 10.0  # seconds for JupyterLab to end its kernels
NOT_LISTED = ("__pycache__", "*.pyc", "*~", LAUNCHER)  # in JupyterLab's file browser
LOG_SIZE = 1_000_000  # bytes; one older log of that size is kept
FIRST_PAGE = "lab/tree/00-start-here.ipynb"
OPENER_VARIABLE = "LABKIT_OPENER"  # names the file that leads a browser to the page


class JupyterError(LabError):
    """JupyterLab could not be started."""


class _PortTakenError(JupyterError):
    """Another program took the port after it had been chosen."""


def serve(folder: Path, port: int | None, browser: bool, page: str = FIRST_PAGE) -> int:
    """Run JupyterLab on `folder` until Ctrl-C, SIGTERM or a closed terminal; returns an exit code.

    `page` is what opens: a path of JupyterLab's own. Prints the URL once the page is there. Where
    no port is given and another program takes the chosen one first, it goes on with the next.
    Raises JupyterError when the page does not come up.
    """
    while True:
        chosen = choose_port(port)
        if port is None and chosen != FIRST_PORT:
            print(f"port {FIRST_PORT} is taken (a JupyterLab that runs already?), using {chosen}")
        try:
            return _serve_on(chosen, folder, browser, page)
        except _PortTakenError:
            if port is not None:
                raise


def _serve_on(port: int, folder: Path, browser: bool, page: str) -> int:
    """Run JupyterLab on this port until it is stopped. Raises JupyterError as `serve` does."""
    token = secrets.token_hex(16)
    log = folder / HIDDEN / f"jupyter-{port}.log"
    opener = folder / HIDDEN / f"open-{port}.html"
    url = f"http://{ports.LOOPBACK}:{port}/{page}?token={token}"
    print("starting JupyterLab …", flush=True)
    with _terminable():
        server = subprocess.Popen(
            _command(folder, port),
            env={**_environment(folder, token), OPENER_VARIABLE: str(opener)},
            stdin=subprocess.PIPE,  # closed by the system when this process ends
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            start_new_session=sys.platform != "win32",  # Ctrl-C comes here first, then goes there
        )
        writer = threading.Thread(target=_write_log, args=(server, log), daemon=True)
        writer.start()
        try:
            wait_until(lambda: _answers(server, port, token), START_TIMEOUT, "JupyterLab")
            print(f"\n  The course is at\n  {url}\n\n  Stop it with Ctrl-C here.\n", flush=True)
            if browser and not (_has_screen() and _open(url, opener)):
                print("  (No browser could be opened: copy the address into one.)", flush=True)
            if server.wait() == 0:
                print("JupyterLab was shut down from its page")
                return 0
            raise JupyterError("JupyterLab ended by itself")
        except (JupyterError, NotInTimeError) as error:
            _end(server)
            writer.join(STOP_TIMEOUT)
            said = _tail(log)
            raise (_PortTakenError if _was_taken(port, said) else JupyterError)(
                f"{error} (exit code {server.returncode}). The end of {log}:\n{said}"
            ) from None
        except KeyboardInterrupt:
            _tell("\nstopping JupyterLab and its notebooks …")
            return 0
        finally:
            _end(server)
            opener.unlink(missing_ok=True)


def choose_port(wanted: int | None) -> int:
    """The port asked for, or the first free one from 8888 on. Raises JupyterError for a taken one."""
    candidates = [wanted] if wanted is not None else range(FIRST_PORT, FIRST_PORT + TRIES)
    for port in candidates:
        if ports.is_free(port):
            return port
    by = ports.holder(candidates[0])
    why = f"is taken by {by}" if by else "is taken, or kept for the system"
    raise JupyterError(f"port {candidates[0]} {why}; choose another with --port, or leave it out")


def _command(folder: Path, port: int) -> list[str]:
    return [
        sys.executable,
        "-P",  # a json.py of the learner's in the workspace is not JupyterLab's json
        "-m",
        "labkit.course.jupyter",
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
        *_terminal_options(),
        *(f"--ContentsManager.hide_globs={name}" for name in NOT_LISTED),
        *slides.jupyter_options(),
    ]


def _terminal_options() -> list[str]:
    """JupyterLab's terminals without `-l`: a login shell would set PATH anew, without labkit in it."""
    shell = os.environ.get("SHELL") or shutil.which("sh")
    if sys.platform == "win32" or shell is None:
        return []
    return [f"--ServerApp.terminado_settings=shell_command={shlex.quote(shell)}"]


def _settings(folder: Path) -> Path:
    """Settings under those of the user: no question about news, which would need the internet."""
    settings = folder / HIDDEN / "lab-settings"
    settings.mkdir(parents=True, exist_ok=True)
    quiet = {"fetchNews": "false", "checkForUpdates": False}
    overrides = {"@jupyterlab/apputils-extension:notification": quiet, **slides.SETTINGS}
    (settings / "overrides.json").write_text(json.dumps(overrides), "utf-8")
    return settings


def _profile(folder: Path) -> Path:
    """IPython's settings for the kernels of this workspace, which the user's own leave alone."""
    profile = folder / HIDDEN / "ipython"
    (profile / "profile_default").mkdir(parents=True, exist_ok=True)
    line = f"get_config().IPKernelApp.exec_lines = [{kernel.START_LINE!r}]\n"
    (profile / "profile_default" / "ipython_kernel_config.py").write_text(line, "utf-8")
    return profile


def _environment(folder: Path, token: str) -> dict[str, str]:
    scripts = sysconfig.get_path("scripts")
    return {
        **os.environ,
        # labkit, nats-server and python by their names, in terminals and in cells
        "PATH": os.pathsep.join(filter(None, (scripts, os.environ.get("PATH")))),
        WORKSPACE_VARIABLE: str(folder),
        "IPYTHONDIR": str(_profile(folder)),
        # which tabs are open belongs to this workspace, not to every JupyterLab of the user's
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / HIDDEN / "lab-layout"),
        "JUPYTER_TOKEN": token,  # not on the command line, where others on the machine could read it
        "JUPYTER_PREFER_ENV_PATH": "1",  # this environment's kernel, not another one of the user's
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }


def _answers(server: subprocess.Popen[bytes], port: int, token: str) -> bool:
    """Whether the page is served. Raises JupyterError when JupyterLab has ended."""
    if server.poll() is not None:
        raise JupyterError("JupyterLab did not start")
    request = urllib.request.Request(
        f"http://{ports.LOOPBACK}:{port}/api/status", headers={"Authorization": f"token {token}"}
    )
    with contextlib.suppress(urllib.error.URLError, OSError, ValueError):
        with urllib.request.urlopen(request, timeout=2) as answer:
            return "started" in json.load(answer)
    return False


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Within the block SIGTERM and a closed terminal (SIGHUP) end like Ctrl-C."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), interrupt) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


def _end(server: subprocess.Popen[bytes]) -> None:
    """End JupyterLab, which ends its kernels, which ends their labs."""
    assert server.stdin is not None
    with contextlib.suppress(OSError):  # it has ended already
        server.stdin.close()
    try:
        server.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _write_log(server: subprocess.Popen[bytes], path: Path) -> None:
    """Keep the last one or two megabytes of what JupyterLab and its kernels print."""
    assert server.stdout is not None
    path.unlink(missing_ok=True)
    kept = logging.handlers.RotatingFileHandler(path, "a", LOG_SIZE, 1, "utf-8")
    with contextlib.closing(kept), server.stdout:
        while line := server.stdout.readline(LOG_SIZE // 10):
            kept.emit(logging.makeLogRecord({"msg": line.decode(errors="replace").rstrip()}))


def _was_taken(port: int, said: str) -> bool:
    """Whether JupyterLab met another program on its port, which may have left it again by now."""
    return f"port {port} is not available" in said or not ports.is_free(port)


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return "\n".join(lines[-8:]) or "(it printed nothing)"


def _tell(text: str) -> None:
    """Print, where somebody still reads: a closed terminal does not."""
    with contextlib.suppress(OSError):
        print(text, flush=True)


def _open(url: str, opener: Path) -> bool:
    """Lead a browser to `url` by a file that only this user can read; whether a browser was found.

    The token must not stand in the browser's command line, which everybody on the machine can read.
    """
    opener.unlink(missing_ok=True)
    opener.touch(0o600, exist_ok=False)
    opener.write_text(f'<!doctype html><meta http-equiv="refresh" content="0; url={url}">')
    return webbrowser.open(opener.as_uri())


def _has_screen() -> bool:
    """Whether a browser has a place to open in; without one, a text browser would take the terminal."""
    if sys.platform in ("win32", "darwin"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))


def _end_with_owner() -> None:
    """In the JupyterLab process: wait until the owner's end of the pipe is closed, then end politely."""
    while os.read(0, 4096):  # not sys.stdin, whose lock would abort an interpreter that ends first
        pass
    Path(os.environ[OPENER_VARIABLE]).unlink(missing_ok=True)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    from jupyterlab.labapp import main

    threading.Thread(target=_end_with_owner, daemon=True).start()
    sys.exit(main())
