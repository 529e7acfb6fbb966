"""A notebook's section "The same in a terminal": its table, typed with the real `nats` command line.

The walk through a notebook runs `report` in the notebook's own kernel, before the cell that stops
the lab. So the notebook isn't run once more, and its clients answer what is typed.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import labkit
from labkit.servers.errors import NotInTimeError
from labkit.servers.wait import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
HEADING = "### The same in a terminal"
AS_SAID = "each command did what its row says"
RUNS_ON = re.compile(r"\bleave it running\b", re.IGNORECASE)
EXIT_CODE = re.compile(r"\bexit code (\d+)")
SELECT = re.compile(r"`(nats context select [\w-]+)`")
PATIENCE = 20.0  # seconds for a command to end, or to show what its row says


@dataclass(frozen=True)
class Row:
    """A command, and what its row says: pieces of its output, how it ends, whether it runs on."""

    command: str
    shows: tuple[str, ...]
    code: int = 0
    runs_on: bool = False


def section(cells: list[Any]) -> str:
    """The text of a notebook's section; "" where it has none."""
    found = [c.source for c in cells if c.source.startswith(HEADING)]
    assert len(found) <= 1, "a notebook has one such section"
    return "".join(found)


def select(text: str) -> str:
    """The command by which the section leads all the others to the notebook's lab."""
    (command,) = SELECT.findall(text)
    return str(command)


def rows(text: str) -> list[Row]:
    """The rows of the section's table. Raises AssertionError for a row that cannot be typed."""
    lines = [line.strip() for line in text.splitlines() if line.startswith("|")]
    return [_row(line) for line in lines[2:]]


def _row(line: str) -> Row:
    _, typed, says, _ = re.split(r"(?<!\\)\|", line)
    found = re.fullmatch(r"`(nats [^`]+)`", typed.strip())
    assert found, f"in the first column stands one command, `nats …`: {line}"
    pieces = [piece.replace(r"\|", "|") for piece in re.findall(r"`([^`]+)`", says)]
    shows = tuple(piece for piece in pieces if not piece.startswith("nats "))
    assert shows, f"the second column quotes a piece of the output: {line}"
    code = EXIT_CODE.search(says)
    return Row(found[1], shows, int(code[1]) if code else 0, bool(RUNS_ON.search(says)))


def cell(text: str) -> str:
    """A cell of Python that types the section's commands, in a kernel whose lab runs."""
    return (
        f"import asyncio, sys\nsys.path.append({str(ROOT)!r})\n"
        "from tests.notebooks import terminal\n"
        f"print(await asyncio.to_thread(terminal.report, {text!r}))"
    )


def installed() -> bool:
    """Whether this machine has the `nats` command line, and shells that understand the quotes."""
    return sys.platform != "win32" and shutil.which("nats") is not None


def report(text: str) -> str:
    """Type the section's commands one after another; AS_SAID, or a line for each that is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        return "\n".join(_problems(text, Path(folder))) or AS_SAID


def _problems(text: str, folder: Path) -> list[str]:
    typed = [Typed(Row(select(text), ("NATS Configuration Context",)), folder / "0.txt")]
    found = typed[0].problems()
    try:
        for row in rows(text):
            before = _listening()
            typed.append(Typed(row, folder / f"{len(typed)}.txt"))
            if row.runs_on:
                _wait_for_more(before, row)
            else:
                found += typed[-1].problems()
        for one in typed:
            if one.row.runs_on:
                found += one.problems()
    except NotInTimeError as error:
        found.append(f"{error}; it printed: {typed[-1].output()}")
    finally:
        for one in typed:
            one.end()
    return found


class Typed:
    """A command that has been typed into a terminal, which is a file."""

    def __init__(self, row: Row, terminal: Path) -> None:
        self.row, self._terminal = row, terminal
        with terminal.open("wb") as printed:
            self._process = subprocess.Popen(
                shlex.split(row.command),
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                env={n: value for n, value in os.environ.items() if not n.startswith("NATS_")},
            )

    def output(self) -> str:
        """What it has printed so far."""
        return self._terminal.read_text("utf-8", errors="replace")

    def problems(self) -> list[str]:
        """Where it did something else than its row says, once it has ended or shown all."""
        return list(self._problems())

    def _problems(self) -> Iterator[str]:
        try:
            if self.row.runs_on:
                wait_until(lambda: not self._missing(), PATIENCE, "its output")
            else:
                self._process.wait(PATIENCE)
        except (NotInTimeError, subprocess.TimeoutExpired):
            yield f"{self.row.command}: not over after {PATIENCE:g} s"
        if missing := self._missing():
            yield f"{self.row.command}: {missing} not in its output: {self.output()}"
        code = self._process.poll()
        if code is not None and code != self.row.code:
            yield f"{self.row.command}: exit code {code}, not {self.row.code}: {self.output()}"

    def _missing(self) -> list[str]:
        printed = self.output()
        return [piece for piece in self.row.shows if piece not in printed]

    def end(self) -> None:
        """End it, if it still runs."""
        self._process.kill()
        self._process.wait()


def _wait_for_more(before: int, row: Row) -> None:
    """Return once the command line has more subscriptions than before. Raises NotInTimeError."""
    wait_until(lambda: _listening() > before, PATIENCE, f"`{row.command}` to subscribe")


def _listening() -> int:
    """How many subscriptions the command line has on the servers of this process's labs."""
    return sum(
        connection["subscriptions"]
        for lab in labkit.running()
        for server in lab.values()
        if server.state == "running"
        for connection in server.monitor("connz", limit=10_000)["connections"]
        if connection.get("name", "").startswith("NATS CLI")
    )
