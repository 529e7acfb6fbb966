"""Progress: which exercises were tried, how they came out, kept in a file of the workspace."""

from __future__ import annotations

import functools
import html
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WORKSPACE_VARIABLE = "LABKIT_WORKSPACE"
HIDDEN = ".labkit"  # folder in a workspace that holds what is labkit's
FILE = "progress.jsonl"  # a line a step, in order
MARKS = {"right": "✔ right", "wrong": "✘ wrong", "not yet": "· not yet", "": "–"}

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


@dataclass(frozen=True)
class Row:
    """One exercise in the table of progress."""

    notebook: str
    exercise: str
    title: str
    state: str
    tries: int
    hints: int


class Progress:
    """The table of all exercises and how they stand."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows

    @property
    def summary(self) -> str:
        """How many exercises are solved, in a sentence."""
        solved = sum(row.state == "right" for row in self.rows)
        return f"{solved} of {len(self.rows)} exercises solved"

    def __repr__(self) -> str:
        lines = [
            f"{row.notebook}  {row.exercise:5} {MARKS[row.state]:10} {row.title}"
            for row in self.rows
        ]
        return "\n".join([self.summary, *lines])

    def _repr_html_(self) -> str:
        cells = "".join(
            "<tr>"
            + "".join(
                f"<td style='text-align:left'>{html.escape(str(value))}</td>"
                for value in (
                    row.notebook,
                    row.exercise,
                    row.title,
                    MARKS[row.state],
                    row.tries or "",
                    row.hints or "",
                )
            )
            + "</tr>"
            for row in self.rows
        )
        names = ("notebook", "exercise", "title", "state", "tries", "hints")
        heading = "".join(f"<th style='text-align:left'>{name}</th>" for name in names)
        return f"<p>{self.summary}</p><table><tr>{heading}</tr>{cells}</table>"


def progress(notebook: str | None = None) -> Progress:
    """The exercises of the course, or of one notebook ("11"), and how they stand.

    Raises UnknownExerciseError for a notebook that has none.
    """
    from labkit.course.exercises import UnknownExerciseError, registry

    wanted = None if notebook is None else str(notebook)
    there = sorted({exercise.notebook for exercise in registry().values()})
    if wanted is not None and wanted not in there:
        raise UnknownExerciseError(
            f"no exercises in a notebook {wanted!r}; they are in {', '.join(there)}"
        )
    entries = load()
    rows = []
    for exercise in registry().values():
        entry = entries.get(exercise.id, Entry())
        if wanted in (None, exercise.notebook):
            rows.append(
                Row(
                    exercise.notebook,
                    exercise.id,
                    exercise.title,
                    entry.state,
                    entry.tries,
                    entry.hints,
                )
            )
    return Progress(rows)
