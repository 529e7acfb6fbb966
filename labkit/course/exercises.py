"""Exercises: what is said about each, its check, its three outcomes, and its hints.

What is said about an exercise (title, lab, hints) stands in `checks/notebook_NN.toml`, one file a
notebook; its check is a function in `checks/notebook_NN.py`, which is imported when that notebook
checks for the first time. A check lives here under a stable id, never in a notebook, so that a
renamed copy breaks nothing. What a check can say and ask is in `look`, what it can do in `play`.
"""

from __future__ import annotations

import asyncio
import difflib
import functools
import html
import importlib
import os
import re
import tomllib
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from labkit.course import notebooks, play, store
from labkit.course.look import Look, NotYetError, WrongError
from labkit.servers import topology
from labkit.servers.errors import LabError

CHECK_TIMEOUT = 30.0  # seconds a check may take
CHECKS = Path(__file__).with_name("checks")

Outcome = Literal["not yet", "wrong", "right"]
CheckFunction = Callable[[Look], Awaitable[None]]


class UnknownExerciseError(LabError):
    """An id under which there is no exercise."""


@dataclass(frozen=True)
class Exercise:
    """What is said about an exercise: two hints (the third is the solution), and its check's name.

    `lab` is the topology that its notebook started for it: a notebook may hold several labs. `says`
    holds the check's sentences (see labkit.course.look).
    """

    id: str
    title: str
    notebook: str
    hints: tuple[str, str]
    check: str
    lab: str = ""
    says: Mapping[str, Any] = field(default_factory=dict)

    def check_function(self) -> CheckFunction:
        """Its check; the notebook's module is imported now, if it was not before."""
        module = importlib.import_module(f"labkit.course.checks.notebook_{self.notebook}")
        function: CheckFunction = getattr(module, self.check)
        return function

    def solution(self) -> str:
        """The solution, read from the course's own notebook; "" where it holds none."""
        for cell in notebooks.read(notebooks.find(self.notebook)).cells:
            if cell.cell_type == "code" and cell_exercise(cell.source) == self.id:
                return notebooks.solution_of(cell.source)
        return ""


def cell_exercise(source: str) -> str | None:
    """The id in the first line of an exercise's cell, "# Exercise 1.3a"; None for any other cell."""
    first = source.partition("\n")[0]
    return first.removeprefix("# Exercise ").strip() if first.startswith("# Exercise ") else None


@functools.cache
def registry() -> dict[str, Exercise]:
    """Every exercise of the course by its id, in their order."""
    found, shared = {}, tomllib.loads((CHECKS / "shared.toml").read_text("utf-8"))
    for path in CHECKS.glob("notebook_*.toml"):
        number = path.stem.removeprefix("notebook_")
        for id, said in tomllib.loads(path.read_text("utf-8")).items():
            said["hints"], said["says"] = tuple(said["hints"]), shared | said["says"]
            found[id] = Exercise(id=id, notebook=number, **said)
    return dict(sorted(found.items(), key=lambda item: _order(item[0])))


def _order(id: str) -> tuple[int, int, str]:
    hour, _, rest = id.partition(".")
    digits = rest.rstrip("abcdefghijklmnopqrstuvwxyz")
    return int(hour), int(digits or 0), rest[len(digits) :]


def get(id: str) -> Exercise:
    """The exercise with this id. Raises UnknownExerciseError with the near ones."""
    if not isinstance(id, str):
        raise UnknownExerciseError(
            f'an exercise is named in quotes, as in check("1.1"), not {id!r}'
        )
    known = registry()
    if id in known:
        return known[id]
    near = difflib.get_close_matches(id, known, 3, 0.5)
    raise UnknownExerciseError(
        f"there is no exercise {id!r}; "
        + (
            f"did you mean {' or '.join(map(repr, near))}?"
            if near
            else f"there are {', '.join(known)}"
        )
    )


@dataclass(frozen=True)
class Result:
    """How a check came out: "not yet", "wrong" or "right", and a line for each thing it looked at."""

    id: str
    outcome: Outcome
    lines: tuple[str, ...]

    @property
    def heading(self) -> str:
        """The outcome in a few words."""
        return f"Exercise {self.id}: {self.outcome}"

    @property
    def offer(self) -> str:
        """What helps next; nothing after a right answer."""
        return "" if self.outcome == "right" else f'Stuck? hint("{self.id}")'

    def __repr__(self) -> str:
        return "\n".join([self.heading, *self.lines, *([self.offer] if self.offer else [])])

    def _repr_html_(self) -> str:
        colour = {"right": "#2e7d32", "wrong": "#c77700", "not yet": "#777"}[self.outcome]
        lines = "".join(f"<div>{_as_html(line)}</div>" for line in self.lines)
        offer = f"<div><i>{html.escape(self.offer)}</i></div>" if self.offer else ""
        return (
            f"<div style='border-left:4px solid {colour};padding-left:10px'>"
            f"<b>{html.escape(self.heading)}</b>{lines}{offer}</div>"
        )


class Checking:
    """A check that waits to be awaited; shown without `await`, it says so."""

    def __init__(self, id: str, answers: tuple[Any, ...]) -> None:
        self.id, self.answers = id, answers

    def __await__(self) -> Generator[Any, None, Result]:
        return _check(get(self.id), self.answers).__await__()

    def __repr__(self) -> str:
        return f'Nothing was checked: put await in front, as in  await check("{self.id}")'


def check(id: str, *answers: Any) -> Checking:
    """Check an exercise: `await check("1.1")`, or with an answer `await check("1.3a", answer)`.

    Awaited, it gives the Result, which the notebook shows, and keeps it in your progress. Takes
    30 s at most. Raises UnknownExerciseError for an id that is not there.
    """
    return Checking(id, answers)


async def _check(exercise: Exercise, answers: tuple[Any, ...]) -> Result:
    import nats.errors

    given = tuple(None if answer is ... else answer for answer in answers)
    look = Look(given, exercise.lab, exercise.says)
    play.chance.seed(os.environ.get(play.SEED))
    deadline = asyncio.timeout(CHECK_TIMEOUT)
    outcome: Outcome
    try:
        async with deadline:
            await look.settle()
            await exercise.check_function()(look)
        outcome = "right" if look.lines and all(met for met, _ in look.lines) else "wrong"
    except WrongError:
        outcome = "wrong"
    except NotYetError as missing:
        outcome = "not yet"
        look.lines.append((False, str(missing)))
    except (LabError, OSError, nats.errors.Error) as error:
        outcome = "wrong" if deadline.expired() else "not yet"
        look.lines.append((False, _what_stopped_it(look, error, deadline.expired())))
    finally:
        await look.close()
    result = Result(exercise.id, outcome, tuple(_line(outcome, *line) for line in look.lines))
    store.record(exercise.id, outcome)
    return result


def _as_html(text: str) -> str:
    """A sentence for the page, with what stands between backticks set as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))


def _line(outcome: Outcome, met: bool, text: str) -> str:
    mark = "✔" if met else "·" if outcome == "not yet" else "✘"
    return f"{mark} {text}"


def _what_stopped_it(look: Look, error: Exception, expired: bool) -> str:
    """Why a check could not look. Raises `error` again where it is a fault of the check itself."""
    down = _what_is_down(look.running())
    if expired:
        text = f"the check did not come to an end within {CHECK_TIMEOUT:g} s"
        return f"{text}; {down}" if down else text
    # With every server up, an answer that a check waits for in vain is a case it must judge itself.
    if not down and (isinstance(error, TimeoutError) or not isinstance(error, (LabError, OSError))):
        raise error
    return down or f"the check could not look: {error}"


def _what_is_down(lab: topology.RunningTopology | None) -> str:
    """Which server of the lab does not run, and how to start it; "" when all do."""
    for server in (lab or {}).values():
        if server.state != "running":
            verb = "resume" if server.state == "paused" else "start"
            return f"server {server.name} is {server.state}: lab[{server.name!r}].{verb}()"
    return ""


@dataclass(frozen=True)
class Hint:
    """The hints of an exercise that have been shown so far; the last of three is a solution."""

    exercise: Exercise
    shown: int

    @property
    def steps(self) -> list[str]:
        """The hints in their order, the solution last."""
        return [*self.exercise.hints, self.exercise.solution()]

    @property
    def footer(self) -> str:
        """What comes next."""
        if self.shown < len(self.steps):
            return f'For one more step: hint("{self.exercise.id}")'
        return "That was the last hint. Read it, close it, and write it yourself."

    def __repr__(self) -> str:
        texts = [self._text(n, step) for n, step in enumerate(self.steps[: self.shown], start=1)]
        return "\n".join([*texts, self.footer])

    def _text(self, step: int, text: str) -> str:
        total = len(self.steps)
        return f"Hint {step} of {total}: " + (f"a solution\n\n{text}\n" if step == total else text)

    def _repr_html_(self) -> str:
        parts = []
        for step, text in enumerate(self.steps[: self.shown], start=1):
            last = step == len(self.steps)
            body = f"a solution<pre>{html.escape(text)}</pre>" if last else _as_html(text)
            parts.append(f"<div><b>Hint {step} of {len(self.steps)}</b>: {body}</div>")
        return (
            "<div style='border-left:4px solid #1e73be;padding-left:10px'>"
            f"{''.join(parts)}<div><i>{html.escape(self.footer)}</i></div></div>"
        )


def hint(id: str, step: int | None = None) -> Hint:
    """One hint more for an exercise; with `step`, the hints up to that one. The third is a solution.

    Raises UnknownExerciseError for an id that is not there.
    """
    wanted = get(id)
    before = store.load().get(id, store.Entry()).hints
    last = len(wanted.hints) + 1
    shown = min(max(before + 1 if step is None else step, 1), last)
    store.record_hint(id, shown)
    return Hint(wanted, shown)
