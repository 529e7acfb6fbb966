"""Python programs that run beside a lab's servers, a process each, and end with the lab.

A service that is to be killed is a real process: `lab.run("favourites.py")` starts one. What a program
does over NATS is its own business; here it is started, watched and ended.
"""

from __future__ import annotations

import contextlib
import difflib
import signal
import sys
from pathlib import Path

from labkit.servers.blocking import blocking_method
from labkit.servers.errors import LabError, NotInTimeError
from labkit.servers.events import Events
from labkit.servers.processes import Guard, Process
from labkit.servers.wait import wait_until

FIRST_LINE_TIMEOUT = 15.0  # seconds for a program to say that it is there
STOP_TIMEOUT = 10.0  # seconds for a program that was asked to end, then it is killed
KILL = 9  # on every Unix; Windows ends a process at once in any case
URL = "NATS_URL"  # in a program's environment: the server it is to connect to, as the `nats` CLI has it
COMPLAINTS = ("Traceback", "  File", "usage:")  # how Python and argparse begin, before they end it
LAST_LINES = 5  # of what a program printed, in an error


class Program:
    """A Python file that runs as a process of its own: `kill`, `stop`, `pause`, `resume`, `said`.

    `exit` is its exit code, None while it runs; on Unix a signal's number with a minus.
    """

    def __init__(self, name: str, process: Process, output: Path, guard: Guard, events: Events):
        self.name = name
        self._process, self._output, self._guard, self._events = process, output, guard, events
        self._paused = False

    @property
    def pid(self) -> int | None:
        """The number that the system gave the process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.alive

    @property
    def exit(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.exit

    @property
    def said(self) -> str:
        """What it has printed so far, errors included; "" once its lab has stopped."""
        with contextlib.suppress(OSError):
            return self._output.read_text(errors="replace")
        return ""

    @blocking_method
    def kill(self) -> None:
        """End it at once, as a crash would. Killing again does no harm."""
        if self.alive:
            self._signal(KILL)
            self._wait_end("kill")

    @blocking_method
    def stop(self) -> None:
        """Ask it to end (SIGTERM) and wait until it has; after 10 s it is killed.

        Windows has no such signal: there it is ended at once.
        """
        if self.alive:
            if self._paused:
                self.resume()
            self._signal(signal.SIGTERM)
            try:
                self._wait_end("stop")
            except NotInTimeError:
                self.kill()

    @blocking_method
    def pause(self) -> None:
        """Freeze it: its connection stays open and nothing is answered, as on a machine that hangs."""
        self._refuse_ended()
        self._process.control().suspend()
        self._paused = True
        self._events.note("pause", self.name)

    @blocking_method
    def resume(self) -> None:
        """Let a paused program go on."""
        self._refuse_ended()
        self._process.control().resume()
        self._paused = False
        self._events.note("resume", self.name)

    def wait_first_line(self) -> None:
        """Return when it has printed a line. Raises LabError, and kills it, when it ends or is silent."""
        try:
            wait_until(
                lambda: self._is_ready() or not self.alive,
                FIRST_LINE_TIMEOUT,
                f"{self.name} to print a line, which says that it is ready",
            )
        except NotInTimeError as error:
            self.kill()
            raise LabError(f"{error}; it was ended") from None
        if not self.alive and self.exit:
            said = "\n".join(self.said.splitlines()[-LAST_LINES:])
            raise LabError(f"{self.name} ended with exit code {self.exit}. It said:\n{said}")

    def _is_ready(self) -> bool:
        said = self.said
        return "\n" in said and not said.startswith(COMPLAINTS)

    def _signal(self, number: int) -> None:
        """Send it a signal; that it has just ended is what was wanted."""
        import psutil

        with contextlib.suppress(psutil.NoSuchProcess):
            control = self._process.control()
            control.kill() if number == KILL else control.send_signal(number)

    def _wait_end(self, what: str) -> None:
        self._events.note(what, self.name)
        if not self._guard.wait_exit(self._process, STOP_TIMEOUT):
            raise NotInTimeError(f"waited {STOP_TIMEOUT:g} s for {self.name} to end, in vain")

    def _refuse_ended(self) -> None:
        if not self.alive:
            raise LabError(f"{self.name} has ended, with exit code {self.exit}; start it again")

    def __repr__(self) -> str:
        state = "paused" if self._paused else "running"
        return f"{self.name}: {state if self.alive else f'ended, exit code {self.exit}'}"


def command(program: str | Path, arguments: tuple[str, ...]) -> list[str]:
    """The command that runs a Python file. Raises LabError when there is no such file."""
    path = Path(program).resolve()
    if not path.is_file():
        there = sorted(found.name for found in path.parent.glob("*.py"))
        near = difflib.get_close_matches(path.name, there, 1) or there
        hint = f"; there is {', '.join(near)}" if near else ""
        raise LabError(f"there is no program {path.name} in {path.parent}{hint}")
    return [sys.executable, "-u", str(path), *map(str, arguments)]
