"""Where progress is kept: which exercises were tried and how they came out, a line a step in a file of the workspace."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WORKSPACE_VARIABLE = "LABKIT_WORKSPACE"
HIDDEN = ".labkit"  # folder in a workspace that holds what is labkit's
FILE = "progress.jsonl"  # a line a step, in order

_IN_MEMORY: list[str] = []  # the lines, where there is no workspace: a script, CI


@dataclass
class Entry:
    """How an exercise stands: whether it was ever right, its latest outcome, tries and hints used."""

    solved: bool = False
    latest: str = ""
    tries: int = 0
    hints: int = 0

    @property
    def state(self) -> str:
        """What to show: an exercise that was right once stays right."""
        return "right" if self.solved else self.latest


def workspace() -> Path | None:
    """The workspace this process works in: $LABKIT_WORKSPACE, or a folder above that is one."""
    named = os.environ.get(WORKSPACE_VARIABLE)
    if named and (Path(named) / HIDDEN).is_dir():
        return Path(named)
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / HIDDEN).is_dir()), None)


def load() -> dict[str, Entry]:
    """All entries by exercise. Lines that make no sense are passed over, and that is said once."""
    folder = workspace()
    if folder is None:
        return _in_order(_IN_MEMORY)
    path = folder / HIDDEN / FILE
    try:
        return _in_order(path.read_text("utf-8", errors="replace").split("\n"), path)
    except FileNotFoundError:
        return {}
    except OSError as error:
        _say_once(f"Your progress in {path} cannot be read: {error.strerror}.")
        return {}


def _in_order(lines: Iterable[str], path: Path | None = None) -> dict[str, Entry]:
    """What the lines say together."""
    entries: dict[str, Entry] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            _apply(json.loads(line), entries)
        except (ValueError, TypeError, LookupError):
            _say_once(f"Line {number} of {path} makes no sense; it is passed over.")
    return entries


def _apply(step: dict[str, Any], entries: dict[str, Entry]) -> None:
    exercise, outcome, hints = step["exercise"], step.get("outcome"), int(step.get("hints", 0))
    if not isinstance(exercise, str) or outcome not in (None, "right", "wrong", "not yet"):
        raise ValueError("no step of progress")
    entry = entries.setdefault(exercise, Entry())
    entry.hints = max(entry.hints, hints)
    if outcome:
        entry.latest = outcome
        entry.solved = entry.solved or outcome == "right"
        entry.tries += outcome != "not yet"


@functools.cache
def _say_once(text: str) -> None:
    print(text)


def _append(**step: Any) -> None:
    """Add one line: notebooks that do so at once lose nothing. A full disk does not stop a lesson."""
    folder, line = workspace(), json.dumps(step)
    if folder is None:
        _IN_MEMORY.append(line)
        return
    path = folder / HIDDEN / FILE
    try:
        with path.open("ab", buffering=0) as file:  # one write; a line cut short before it is ended
            file.write(f"\n{line}\n".encode())
    except OSError as error:
        print(f"Your progress could not be saved in {path}: {error.strerror}.")


def record(exercise: str, outcome: str) -> None:
    """Note one more try and how it came out: "right", "wrong" or "not yet"."""
    _append(exercise=exercise, outcome=outcome)


def record_hint(exercise: str, shown: int) -> None:
    """Note how many hints of an exercise have been shown."""
    _append(exercise=exercise, hints=shown)
