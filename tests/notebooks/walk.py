"""The walk through a notebook: the cells that a learner runs who tries everything, in their order.

Each cell is run twice in a row. An exercise is left out at first: its cell is run stripped, and the
learner reads on. Before the next exercise begins, and before the notebook's last cell, the learner
goes back and solves it, and then runs the solution again. So what follows an exercise is run both
without its solution (here) and with it (where nbval compares the notebook's outputs).

Where the `nats` command line is installed, the learner then types what the notebook's section "The
same in a terminal" says, before the last cell stops the lab.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.course import exercises, notebooks
from tests.notebooks import terminal
from tests.notebooks.run_all import run_all


@dataclass(frozen=True)
class Step:
    """A cell to run; for an exercise's check, the heading that it must show."""

    source: str
    shows: str = ""


def steps(notebook: Any) -> list[Step]:
    """The walk through a solved notebook. Raises AssertionError for an exercise without its check."""
    return list(_steps(notebook.cells))


def _steps(cells: list[Any]) -> Iterator[Step]:
    unsolved: list[Step] = []
    last = max(n for n, cell in enumerate(cells) if cell.cell_type == "code")
    checked = None  # the exercise whose check is the next cell
    for position, cell in enumerate(cells):
        if "### Exercise " in cell.source or position == last:
            yield from unsolved
            unsolved = []
        if position == last:
            yield from _in_a_terminal(cells)
        if cell.cell_type != "code":
            continue
        if checked is not None:
            id, solved = checked
            yield from _tried(id, notebooks.strip_source(solved, id), cell.source, "not yet")
            unsolved += 2 * _tried(id, solved, cell.source, "right")
            checked = None
        elif (id := exercises.cell_exercise(cell.source)) is not None:
            checked = id, cell.source
        else:
            yield from 2 * [Step(cell.source)]


def _in_a_terminal(cells: list[Any]) -> Iterator[Step]:
    if terminal.installed() and (text := terminal.section(cells)):
        yield Step(terminal.cell(text), terminal.AS_SAID)


def _tried(id: str, answer: str, check: str, outcome: str) -> list[Step]:
    assert f'await check("{id}"' in check, f"the check must follow the cell of exercise {id}"
    return [Step(answer), Step(check, f"Exercise {id}: {outcome}")]


def problems(notebook: Any, folder: Path) -> list[str]:
    """What went wrong when the whole walk was queued at once in a fresh kernel, a line each."""
    walked = steps(notebook)
    found = []
    for ran, step in zip(run_all([s.source for s in walked], folder), walked, strict=True):
        cell = f"step {ran.number}, {step.source.strip().splitlines()[0]!r}, "
        if ran.status != "ok":
            found.append(f"{cell}was {ran.status} {ran.detail}")
        elif step.shows not in ran.shown:
            found.append(f"{cell}should show {step.shows!r}, and showed: {ran.shown}")
    return found
