"""The table of progress: every exercise of the course, and how it stands."""

from __future__ import annotations

from dataclasses import dataclass

from labkit.course.exercises import UnknownExerciseError, registry
from labkit.course.store import Entry, load
from labkit.servers import tables

MARKS = {"right": "✔ right", "wrong": "✘ wrong", "not yet": "· not yet", "": "–"}


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
        names = ("notebook", "exercise", "title", "state", "tries", "hints")
        rows = [
            (r.notebook, r.exercise, r.title, MARKS[r.state], r.tries or "", r.hints or "")
            for r in self.rows
        ]
        return f"<p>{self.summary}</p>{tables.html_table(names, rows, tables.left)}"


def progress(notebook: str | None = None) -> Progress:
    """The exercises of the course, or of one notebook ("11"), and how they stand.

    Raises UnknownExerciseError for a notebook that has none.
    """
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
