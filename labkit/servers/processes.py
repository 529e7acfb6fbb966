"""The owner's side of the guard, and the labs that run on this machine with their owners.

It starts processes and knows when they end; what they are is none of its business.
"""

from __future__ import annotations

import contextlib
import functools
import json
import marshal
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from labkit.servers.errors import LabError
from labkit.servers.wait import wait_until

if TYPE_CHECKING:
    import psutil

GUARD = Path(__file__).with_name("guard.py")
PREFIX = "labkit-"  # of every run's temporary folder
RECORD = "lab.json"
ALSO_REMOVE = "also-remove"  # in the run folder: files elsewhere, a line each
START_TIMEOUT = 10.0  # seconds, for the guard to say that a process has started
STOP_TIMEOUT = 10.0  # seconds, for the guard to end everything and remove the folder
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
    """A run folder and the process that removes it, and ends what it started, when this one ends."""

    def __init__(self, label: str, owner: str | None = None) -> None:
        sweep()
        try:
            self.folder = Path(
                tempfile.mkdtemp(prefix=f"{PREFIX}{_as_file_name(label)}-")
            ).resolve()
        except OSError as error:
            raise LabError(
                f"no temporary folder can be made for this lab: {error}; "
                "make room there, or let TMPDIR name a folder in which you may write"
            ) from None
        try:
            self._begin(label, owner)
        except BaseException as error:
            if hasattr(self, "_process"):
                self.close()
            shutil.rmtree(self.folder, ignore_errors=True)
            if isinstance(error, OSError):
                raise LabError(
                    f"the guard of this lab could not be started in {self.folder}: {error}"
                ) from None
            raise

    def _begin(self, label: str, owner: str | None) -> None:
        """Start the guard's process, and put on record whose it is."""
        self._processes: dict[str, Process] = {}
        self._answers: dict[str, dict[str, Any]] = {}  # of the forwarder, not yet asked for
        self._changed = threading.Condition()
        self._gone = False
        self._count, self._owner = 0, os.getpid()
        apart: dict[str, Any]
        if sys.platform == "win32":
            apart = {
                "creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
            }
        else:
            apart = {"process_group": 0}
        with (self.folder / "guard.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(GUARD), str(self.folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=tempfile.gettempdir(),
                **apart,
            )
        self.pid = self._process.pid
        _OPEN.add(self)
        record = LabRecord(
            folder=self.folder,
            topology=label,
            started=datetime.now(UTC),
            owner_pid=os.getpid(),
            owner=owner or describe_owner(),
            guard_pid=self.pid,
        )
        record.write()
        self._record = record
        threading.Thread(target=self._listen, name="labkit-guard", daemon=True).start()

    def start(self, name: str, argv: list[str], cwd: Path, output: Path) -> Process:
        """Have `argv` started and return at once; what it prints goes to `output`.

        `wait_started` waits for its pid. Raises LabError when the guard is gone.
        """
        self._count += 1
        process = Process(id=f"{name}#{self._count}")
        self._processes[process.id] = process
        self._send({"id": process.id, "argv": argv, "cwd": str(cwd), "output": str(output)})
        return process

    def wait_started(self, processes: Iterable[Process]) -> None:
        """Return when the pid of each is known.

        Raises LabError when the system could not start one, or the guard is gone.
        """
        for process in processes:
            name = process.id.rpartition("#")[0]
            with self._changed:
                told = functools.partial(self._has_told_of, process)
                self._changed.wait_for(told, START_TIMEOUT)
            if process.pid is None:
                if self._gone:
                    raise self._is_gone()
                reason = process.error or self._last_words() or "its guard did not answer"
                raise LabError(f"{name} could not be started: {reason}")
            self._record.servers[name] = process.pid
        self._record.write()

    def _has_told_of(self, process: Process) -> bool:
        return process.pid is not None or process.error is not None or self._gone

    def order_links(self, order: dict[str, Any]) -> str:
        """Have the forwarder carry out an order (see forwarder.py); returns what `answer` takes."""
        self._count += 1
        order_id = f"links#{self._count}"
        self._send({"id": order_id, "links": order})
        return order_id

    def answer(self, order_id: str, timeout: float) -> dict[str, Any]:
        """What the forwarder answers to an order.

        Raises LabError when nothing comes within `timeout` seconds, or the guard is gone.
        """
        with self._changed:
            self._changed.wait_for(lambda: order_id in self._answers or self._gone, timeout)
            if order_id in self._answers:
                return self._answers.pop(order_id)
        if self._gone:
            raise self._is_gone()
        reason = self._last_words()
        raise LabError(
            f"the forwarder of this lab does not answer{': ' + reason if reason else ''}; "
            "its links are as they were, or gone. Start the lab again."
        )

    def wait_exit(self, process: Process, timeout: float) -> bool:
        """Whether the process has ended, waiting up to `timeout` seconds for it."""
        with self._changed:
            return self._changed.wait_for(lambda: process.exit is not None, timeout)

    def also_remove(self, path: Path) -> None:
        """Have this file outside of the run folder removed too, whatever ends the owner."""
        with (self.folder / ALSO_REMOVE).open("a", encoding="utf-8") as listed:
            listed.write(f"{path}\n")

    def close(self) -> None:
        """End every process of this guard and remove its folder; closing again does no harm.

        In a forked child it does nothing: the lab is its parent's.
        """
        if os.getpid() != self._owner:
            return
        _OPEN.discard(self)
        pipe = self._process.stdin
        assert pipe is not None
        with contextlib.suppress(OSError):
            pipe.close()
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self.folder.exists():  # the guard was killed: do its work
            self._end_orphans()
            _remove(self.folder)

    def release_in_child(self) -> None:
        """In a forked child: close the pipe, or the child would keep the servers of a dead owner."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError), Path(os.devnull).open("wb") as nowhere:
            # The number stays taken, so that nobody's later file is closed in the pipe's stead.
            os.dup2(nowhere.fileno(), self._process.stdin.fileno(), inheritable=False)

    def _send(self, request: dict[str, Any]) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        if os.getpid() != self._owner:
            raise LabError(
                "this lab belongs to the process that this one was forked from; "
                "start, break and stop it there"
            )
        try:
            pipe.write(marshal.dumps(request))
            pipe.flush()
        except (OSError, ValueError):
            raise self._is_gone() from None

    def _is_gone(self) -> LabError:
        reason = self._last_words()
        return LabError(
            f"the guard of this lab is gone{': ' + reason if reason else ''}; "
            "its servers are stopped. Start the lab again."
        )

    def _listen(self) -> None:
        """Take the guard's word on what started and what ended, until it is gone."""
        assert self._process.stdout is not None
        with self._process.stdout as events:
            while event := _next(events):
                with self._changed:
                    if "answer" in event:
                        self._answers[event["id"]] = event["answer"]
                    else:
                        process = self._processes[event["id"]]
                        process.pid = event.get("pid", process.pid)
                        process.error = event.get("error")
                        process.exit = event.get("exit")
                    self._changed.notify_all()
        self._end_orphans()
        with self._changed:
            self._gone = True
            for process in self._processes.values():
                process.exit = -9 if process.exit is None else process.exit
            self._changed.notify_all()

    def _end_orphans(self) -> None:
        """Kill what a killed guard left running (elsewhere than on Linux, where it cannot)."""
        import psutil

        for process in self._processes.values():
            if process.alive:
                with contextlib.suppress(psutil.Error):
                    process.control().kill()

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            lines = (self.folder / "guard.log").read_text(errors="replace").strip().splitlines()
            return lines[-1] if lines else ""
        return ""


def _next(events: IO[bytes]) -> dict[str, Any] | None:
    """What the guard says next; None when it is gone."""
    try:
        event: dict[str, Any] = marshal.load(events)
    except (EOFError, ValueError, TypeError):  # ended, perhaps in the middle of a word
        return None
    return event


def _as_file_name(label: str) -> str:
    return re.sub(r"[^\w.-]", "_", label)[:40]


_OPEN: weakref.WeakSet[Guard] = weakref.WeakSet()


def _release_all_in_child() -> None:
    for guard in list(_OPEN):
        guard.release_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release_all_in_child)


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
        return _is_locked(self.folder / "guard.lock")

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


def _remove(folder: Path) -> None:
    """Remove a run folder and what it lists outside of it, as its guard would have."""
    with contextlib.suppress(OSError):
        for path in (folder / ALSO_REMOVE).read_text("utf-8").splitlines():
            Path(path).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def sweep() -> list[Path]:
    """Remove run folders whose owner and guard were both killed; returns what was removed."""
    removed = []
    for folder in _run_folders():
        with contextlib.suppress(OSError):
            young = time.time() - folder.stat().st_mtime < NEWBORN
            if not young and (folder / RECORD).exists() and not _is_locked(folder / "guard.lock"):
                _remove(folder)
                removed.append(folder)
    return removed


def every_lab() -> list[LabRecord]:
    """The labs of this user that run on this machine, oldest first, whichever process owns them."""
    records = (LabRecord.read(folder) for folder in _run_folders())
    return sorted((r for r in records if r and r.alive), key=lambda r: r.started)


def stop_lab(record: LabRecord, timeout: float = STOP_TIMEOUT) -> None:
    """End another process's lab through its guard. Raises LabError when it does not end in time."""
    if sys.platform == "win32":  # no polite signal there: end the guard's whole family
        subprocess.run(
            ["taskkill", "/T", "/F", "/PID", str(record.guard_pid)],
            capture_output=True,
            check=False,
        )
        wait_until(lambda: not record.alive, timeout, f"the lab {record.topology} to end")
        shutil.rmtree(record.folder, ignore_errors=True)
        return
    import signal

    if record.alive:
        os.kill(record.guard_pid, signal.SIGTERM)
    wait_until(lambda: not record.folder.exists(), timeout, f"the lab {record.topology} to end")
