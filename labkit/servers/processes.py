"""A lab's run folder and processes, in the guard's care; and the labs on this machine with their owners.

It starts processes and knows when they end; what they are is none of its business.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit.servers import guard, warm_guard
from labkit.servers.errors import LabError
from labkit.servers.wait import wait_until
from labkit.servers.warm_guard import WarmGuard

if TYPE_CHECKING:
    import psutil

PREFIX = "labkit-"  # of every run's temporary folder
RECORD = "lab.json"
ALSO_REMOVE = "also-remove"  # in the run folder: files elsewhere, a line each
LOCK = "guard.lock"  # in the run folder: held by the guard for as long as the lab lives
STOP = "stop"  # in the run folder: somebody else wants this lab to end
START_TIMEOUT = 10.0  # seconds, for the guard to say that a process has started
STOP_TIMEOUT = 10.0  # seconds, for the guard to end everything and remove the folder
WARM_TIMEOUT = (
    2.0  # seconds, for a guard that is there to take one more lab; else a new one is begun
)
NOTHING: Mapping[str, str] = {}
NEWBORN = 60.0  # seconds; a folder younger than this may still be waiting for its guard


@dataclass
class Process:
    """A process of the guard's: its id there, its pid, and its exit code once it has ended."""

    id: str
    pid: int | None = None
    exit: int | None = None
    error: str | None = None
    handle: psutil.Process | None = None

    @property
    def alive(self) -> bool:
        """Whether it was started and has not ended."""
        return self.pid is not None and self.exit is None

    def control(self) -> psutil.Process:
        """The process as psutil sees it; signals through it never reach a later owner of the pid."""
        if self.handle is None:
            import psutil

            self.handle = psutil.Process(self.pid)
        return self.handle


class Guard:
    """A lab's run folder and its processes, in the care of this process's guard (warm_guard.py).

    Whatever ends this process, the guard ends them and removes the folder.
    """

    def __init__(self, label: str, owner: str | None = None) -> None:
        self._processes: dict[str, Process] = {}
        self._answers: dict[str, dict[str, Any]] = {}  # of the forwarder, not yet asked for
        self._changed = threading.Condition()
        self._opened = self._gone = False
        self._early: list[dict[str, Any]] = []  # requests made before the guard had the folder
        self._outside: list[str] = []  # files elsewhere, see `also_remove`
        self._count, self._owner = itertools.count(1), os.getpid()
        self._recording = threading.Lock()
        self.folder = _make_run_folder(label)
        with contextlib.ExitStack() as undo:
            undo.callback(_remove, self.folder)
            self._take_guard()
            undo.callback(self.close)
            self._record = LabRecord(
                folder=self.folder,
                topology=label,
                started=datetime.now(UTC),
                owner_pid=self._owner,
                owner=owner or describe_owner(),
                guard_pid=self.pid,
            )
            undo.pop_all()

    def _take_guard(self) -> None:
        """Put the run folder in the care of this process's guard; `_wait_open` tells if it took it."""
        try:
            guard, warm = warm_guard.current()
            with self._changed:
                self._guard, self._warm, self._gone = guard, warm, False
            guard.open(str(self.folder), self)
        except BrokenPipeError:  # it has just been killed
            self._gone = True
        except OSError as error:
            raise LabError(
                f"the guard of this lab could not be started in {self.folder}: {error}"
            ) from None

    def _wait_open(self) -> None:
        """Return when the guard has the folder in its care. Raises LabError when it does not take it.

        A guard that was there before may have been killed, or stopped, unseen: then a new one begins.
        """
        timeout = WARM_TIMEOUT if self._warm else START_TIMEOUT
        with self._changed:
            self._changed.wait_for(lambda: self._opened or self._gone, timeout)
        if self._opened:
            return
        if not self._warm:
            raise self._is_gone()
        self._guard.retire(str(self.folder))
        self._take_guard()
        self._record.guard_pid = self.pid
        with contextlib.suppress(BrokenPipeError):  # of this one it is told below
            for request in self._early:
                self._guard.send(request)
        self._wait_open()

    @property
    def pid(self) -> int:
        """The pid of the guard, which may have other labs of this process in its care too."""
        return self._guard.pid

    def start(
        self,
        name: str,
        argv: list[str],
        cwd: Path,
        output: Path,
        environment: Mapping[str, str] = NOTHING,
    ) -> Process:
        """Have `argv` started and return at once; what it prints goes to `output`.

        `environment` is added to this process's. `wait_started` waits for its pid. Raises LabError when the guard is gone.
        """
        process = Process(id=f"{name}#{next(self._count)}")
        self._processes[process.id] = process
        self._send(
            {
                "id": process.id,
                "argv": argv,
                "cwd": str(cwd),
                "output": str(output),
                "environment": dict(environment),
            }
        )
        return process

    def wait_started(self, processes: Iterable[Process]) -> None:
        """Return when the pid of each is known.

        Raises LabError when the system could not start one, or the guard is gone.
        """
        if not self._record.servers:  # the first of this lab: while it starts there is time
            sweep()
        self._wait_open()
        for process in processes:
            name = process.id.rpartition("#")[0]
            with self._changed:
                told = functools.partial(self._has_told_of, process)
                self._changed.wait_for(told, START_TIMEOUT)
            if process.pid is None:
                if self._gone:
                    raise self._is_gone()
                reason = process.error or self._guard.last_words() or "its guard did not answer"
                raise LabError(f"{name} could not be started: {reason}")
            with self._recording:
                self._record.servers[name] = process.pid
        try:
            with self._recording:  # programs may be started side by side
                self._record.write()
        except OSError as error:
            raise LabError(f"{self.folder} does not take this lab's record: {error}") from None

    def _has_told_of(self, process: Process) -> bool:
        return process.pid is not None or process.error is not None or self._gone

    def order_links(self, order: dict[str, Any]) -> str:
        """Have the forwarder carry out an order (see forwarder.py); returns what `answer` takes."""
        order_id = f"links#{next(self._count)}"
        self._send({"id": order_id, "links": order})
        return order_id

    def answer(self, order_id: str, timeout: float) -> dict[str, Any]:
        """What the forwarder answers to an order.

        Raises LabError when nothing comes within `timeout` seconds, or the guard is gone.
        """
        self._wait_open()
        with self._changed:
            self._changed.wait_for(lambda: order_id in self._answers or self._gone, timeout)
            if order_id in self._answers:
                return self._answers.pop(order_id)
        if self._gone:
            raise self._is_gone()
        reason = self._guard.last_words()
        raise LabError(
            f"the forwarder of this lab does not answer{': ' + reason if reason else ''}; "
            "its links are as they were, or gone. Start the lab again."
        )

    def wait_exit(self, process: Process, timeout: float) -> bool:
        """Whether the process has ended, waiting up to `timeout` seconds for it."""
        with self._changed:
            return self._changed.wait_for(lambda: process.exit is not None, timeout)

    def also_remove(self, path: Path) -> None:
        """Have a file outside of the run folder removed too, whatever ends the owner: before it is written.

        It must hold the name of the run folder. Raises LabError when the lab has been stopped from
        elsewhere.
        """
        self._outside.append(str(path))
        try:
            with (self.folder / ALSO_REMOVE).open("a", encoding="utf-8") as listed:
                listed.write(f"{path}\n")
        except FileNotFoundError:
            raise self._is_gone() from None

    def close(self) -> None:
        """End every process of this lab and remove its folder; closing again does no harm.

        In a forked child it does nothing: the lab is its parent's.
        """
        if os.getpid() != self._owner:
            return
        if not self._gone:
            with contextlib.suppress(OSError):
                self._guard.send({"lab": str(self.folder), "close": True})
            with self._changed:
                ended = self._changed.wait_for(lambda: self._gone, STOP_TIMEOUT)
            if not ended:
                self._guard.retire(str(self.folder))
        self._guard.forget(str(self.folder))
        if self.folder.exists():  # the guard was killed: do its work
            _remove(self.folder)
        # Also where somebody else removed the folder, and with it the list.
        guard.remove_outside(self._outside, str(self.folder))  # type: ignore[no-untyped-call]

    def hear(self, guard: WarmGuard, event: dict[str, Any]) -> None:
        """Take what the guard says of this lab."""
        with self._changed:
            if guard is not self._guard:  # one that this lab has given up
                return
            if "opened" in event:
                self._opened = True
            elif "closed" in event:
                self._end_all()
            elif "answer" in event:
                self._answers[event["id"]] = event["answer"]
            else:
                process = self._processes[event["id"]]
                process.pid = event.get("pid", process.pid)
                process.error = event.get("error")
                process.exit = event.get("exit")
            self._changed.notify_all()

    def lose(self, guard: WarmGuard) -> None:
        """Take note that the guard is gone, and with it everything that it had started."""
        with self._changed:
            if guard is not self._guard:
                return
        _end_orphans(self.folder)
        with self._changed:
            self._end_all()
            self._changed.notify_all()

    def _end_all(self) -> None:
        self._gone = True
        for process in self._processes.values():
            process.exit = -9 if process.exit is None else process.exit

    def _send(self, request: dict[str, Any]) -> None:
        if os.getpid() != self._owner:
            raise LabError(
                "this lab belongs to the process that this one was forked from; "
                "start, break and stop it there"
            )
        request = {"lab": str(self.folder), **request}
        if not self._opened:
            self._early.append(request)
        elif self._gone:
            raise self._is_gone()
        try:
            self._guard.send(request)
        except BrokenPipeError:
            if self._opened:  # else `_wait_open` sees to it
                raise self._is_gone() from None

    def _is_gone(self) -> LabError:
        reason = self._guard.last_words()
        return LabError(
            f"the guard of this lab is gone{': ' + reason if reason else ''}; "
            "its servers are stopped. Start the lab again."
        )


def _make_run_folder(label: str) -> Path:
    """A new folder for a lab. Raises LabError when the temporary folder takes none."""
    try:
        return Path(tempfile.mkdtemp(prefix=f"{PREFIX}{_as_file_name(label)}-")).resolve()
    except OSError as error:
        raise LabError(
            f"no temporary folder can be made for this lab: {error}; "
            "make room there, or let TMPDIR name a folder in which you may write"
        ) from None


def _as_file_name(label: str) -> str:
    return re.sub(r"[^\w.-]", "_", label)[:40]


@dataclass
class LabRecord:
    """A lab on this machine, as its run folder tells it: who owns it and what it started."""

    folder: Path
    topology: str
    started: datetime
    owner_pid: int
    owner: str
    guard_pid: int
    servers: dict[str, int] = field(default_factory=dict)

    @property
    def alive(self) -> bool:
        """Whether its guard still holds its lock."""
        return _is_locked(self.folder / LOCK)

    def write(self) -> None:
        """Put the record in the run folder, whole or not at all."""
        data = asdict(self) | {"folder": str(self.folder), "started": self.started.isoformat()}
        draft = self.folder / f"{RECORD}.new"
        draft.write_text(json.dumps(data))
        draft.replace(self.folder / RECORD)

    @classmethod
    def read(cls, folder: Path) -> LabRecord | None:
        """The record in a run folder; None where there is none that can be read."""
        try:
            data = json.loads((folder / RECORD).read_text())
            data["folder"] = folder
            data["started"] = datetime.fromisoformat(data["started"])
            return cls(**data)
        except (OSError, ValueError, TypeError, KeyError):
            return None


def describe_owner() -> str:
    """What this process is, for a person: its notebook where it is a kernel, else its command."""
    notebook = os.environ.get("JPY_SESSION_NAME")
    if notebook:
        return f"notebook {Path(notebook).name}"
    command = " ".join([Path(sys.argv[0]).name or "python", *sys.argv[1:]])
    return command[:80]


def _is_locked(path: Path) -> bool:
    """Whether some process holds the guard's lock on this file."""
    try:
        with path.open("r+") as handle:
            if sys.platform == "win32":
                import msvcrt

                msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _run_folders() -> Iterator[Path]:
    """The run folders in the temporary folder that belong to this user."""
    for folder in Path(tempfile.gettempdir()).resolve().glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid():
                yield folder


def _end_orphans(folder: Path) -> None:
    """Kill what a killed guard left running of this run folder.

    Elsewhere than on Linux it leaves all; on Linux a process that it had started an instant before.
    """
    import psutil

    for process in psutil.process_iter(["cmdline"]):
        if process.pid != os.getpid() and str(folder) in " ".join(process.info["cmdline"] or ()):
            with contextlib.suppress(psutil.Error):
                process.kill()


def _remove(folder: Path) -> None:
    """End what is left of a run and remove its folder, with what that lists outside of it."""
    _end_orphans(folder)
    guard.remove_all(str(folder))  # type: ignore[no-untyped-call]


def sweep() -> list[Path]:
    """Remove run folders whose owner and guard were both killed; returns what was removed."""
    removed = []
    for folder in _run_folders():
        with contextlib.suppress(OSError):
            young = time.time() - folder.stat().st_mtime < NEWBORN
            lock = folder / LOCK
            ours = lock.exists() or (folder / RECORD).exists()
            if ours and not young and not _is_locked(lock):
                _remove(folder)
                removed.append(folder)
    return removed


def every_lab() -> list[LabRecord]:
    """The labs of this user that run on this machine, oldest first, whichever process owns them."""
    records = (LabRecord.read(folder) for folder in _run_folders())
    return sorted((r for r in records if r and r.alive), key=lambda r: r.started)


def stop_lab(record: LabRecord, timeout: float = STOP_TIMEOUT) -> None:
    """End another process's lab, and no other of that process, through the guard.

    Raises LabError when it does not end in time.
    """
    if record.alive:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ends at this moment
            (record.folder / STOP).touch()
            if sys.platform != "win32":  # there the guard looks by itself
                import signal

                os.kill(record.guard_pid, signal.SIGURG)
    wait_until(lambda: not record.folder.exists(), timeout, f"the lab {record.topology} to end")
