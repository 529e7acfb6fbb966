"""The guard's process as its owner sees it: one for all labs of this process, kept warm between them.

It carries words to and fro; what they mean for a lab is told in processes.py, what the guard does in guard.py.
"""

from __future__ import annotations

import atexit
import collections
import contextlib
import marshal
import os
import subprocess
import sys
import tempfile
import threading
import weakref
from pathlib import Path
from typing import IO, Any, Protocol

GUARD = Path(__file__).with_name("guard.py")
LEAVE_TIMEOUT = 5.0  # seconds, for the guard to end once it is asked to
WORDS_KEPT = 20  # lines


class Ward(Protocol):
    """A lab in the guard's care."""

    def hear(self, guard: WarmGuard, event: dict[str, Any]) -> None:
        """Take what this guard says of the lab."""

    def lose(self, guard: WarmGuard) -> None:
        """Take note that this guard is gone."""


class WarmGuard:
    """The guard's process: serves labs until this process ends, or it is retired."""

    def __init__(self) -> None:
        """Start the process. Raises OSError."""
        apart: dict[str, Any]
        if sys.platform == "win32":
            apart = {
                "creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
            }
        else:
            apart = {"process_group": 0}
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(GUARD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=tempfile.gettempdir(),
            **apart,
        )
        self.pid, self.owner = self._process.pid, os.getpid()
        self.gone = self._retired = False
        self._wards: dict[str, Ward] = {}
        self._sending = threading.Lock()
        self._words: collections.deque[str] = collections.deque(maxlen=WORDS_KEPT)
        self._hearing = threading.Thread(target=self._hear, name="labkit-guard", daemon=True)
        self._reading = threading.Thread(target=self._read, name="labkit-guard-words", daemon=True)
        self._hearing.start()
        self._reading.start()

    def open(self, lab: str, ward: Ward) -> None:
        """Take a lab into care: its run folder's path, and who hears what is said of it.

        Its processes get this process's environment of now. Raises BrokenPipeError when the guard is gone.
        """
        self._wards[lab] = ward
        self.send({"lab": lab, "open": dict(os.environ)})

    def send(self, request: dict[str, Any]) -> None:
        """Pass a request on. Raises BrokenPipeError when the guard is gone."""
        pipe = self._process.stdin
        assert pipe is not None
        try:
            with self._sending:
                pipe.write(marshal.dumps(request))
                pipe.flush()
        except (OSError, ValueError):  # the pipe ended there, or was closed here
            raise BrokenPipeError("the guard is gone") from None

    def forget(self, lab: str) -> None:
        """Note that a lab has ended; a retired guard ends with its last one."""
        self._wards.pop(lab, None)
        if self._retired and not self._wards:
            self.leave()

    def retire(self, lab: str) -> None:
        """Forget this lab, for which it does not answer, and give it no other; killed if it has none."""
        self._retired = True
        self._wards.pop(lab, None)
        if not self._wards:
            self._process.kill()

    @property
    def fit(self) -> bool:
        """Whether it can be given a lab, as far as this process knows."""
        return not (self.gone or self._retired) and self.owner == os.getpid()

    def leave(self) -> None:
        """Have it end, with all its labs, and wait for that."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._hearing.join(LEAVE_TIMEOUT)

    def release_in_child(self) -> None:
        """In a forked child: close the pipe, or the child would keep the servers of a dead owner."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError), Path(os.devnull).open("wb") as nowhere:
            # The number stays taken, so that nobody's later file is closed in the pipe's stead.
            os.dup2(nowhere.fileno(), self._process.stdin.fileno(), inheritable=False)

    def last_words(self) -> str:
        """The last line that it printed: why it failed, where it did."""
        if self.gone:
            self._reading.join(1.0)
        return self._words[-1] if self._words else ""

    def _hear(self) -> None:
        """Pass on what the guard says, until it is gone."""
        assert self._process.stdout is not None
        with self._process.stdout as events:
            while event := _next(events):
                ward = self._wards.get(event["lab"])
                if ward is not None:
                    ward.hear(self, event)
        self.gone = True
        for ward in list(self._wards.values()):
            ward.lose(self)
        self._process.wait()

    def _read(self) -> None:
        """Keep the last lines of what it prints, which is nothing unless it fails."""
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for line in lines:
                if text := line.decode(errors="replace").strip():
                    self._words.append(text)


def _next(events: IO[bytes]) -> dict[str, Any] | None:
    """What the guard says next; None when it is gone."""
    try:
        event: dict[str, Any] = marshal.load(events)
    except (EOFError, ValueError, TypeError):  # ended, perhaps in the middle of a word
        return None
    return event


class _Current:
    """The guard of this process, where it has one, and the lock under which it gets one."""

    def __init__(self) -> None:
        self.guard: WarmGuard | None = None
        self.lock = threading.Lock()


_CURRENT = _Current()
_ALL: weakref.WeakSet[WarmGuard] = weakref.WeakSet()  # retired ones too


def current() -> tuple[WarmGuard, bool]:
    """The guard of this process, and whether it was there already. Raises OSError."""
    with _CURRENT.lock:
        if _CURRENT.guard is not None and _CURRENT.guard.fit:
            return _CURRENT.guard, True
        _CURRENT.guard = WarmGuard()
        _ALL.add(_CURRENT.guard)
        return _CURRENT.guard, False


def end_all() -> None:
    """End the guards that this process has begun, with their labs; the next lab gets a new one.

    At this process's end the pipe's end would do. This also waits, so that nothing outlives it.
    """
    for guard in list(_ALL):
        if guard.owner == os.getpid():
            guard.leave()


def _release_all_in_child() -> None:
    for guard in list(_ALL):
        guard.release_in_child()
    _CURRENT.guard, _CURRENT.lock = None, threading.Lock()  # a thread may have held it at the fork


atexit.register(end_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release_all_in_child)
