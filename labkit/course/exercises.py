"""Exercises: data plus a check that observes, its three outcomes, and hints.

A check lives here under a stable id, never in a notebook, so that a renamed copy breaks nothing.
It connects on its own and looks at what the server can tell; it does not read the learner's code.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import functools
import html
import importlib
import pkgutil
import re
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from labkit.course import notebooks, progress
from labkit.servers import topology
from labkit.servers.errors import LabError

if TYPE_CHECKING:
    from nats.aio.client import Client

CHECK_TIMEOUT = 30.0  # seconds a check may take
CLIENT_NAME = "labkit-check"  # of the clients that a check uses

Outcome = Literal["not yet", "wrong", "right"]
CheckFunction = Callable[["Look"], Awaitable[None]]

_REGISTRY: dict[str, Exercise] = {}


class UnknownExerciseError(LabError):
    """An id under which there is no exercise."""


class NotAttemptedError(Exception):
    """Raised by a check when there is nothing to judge yet; its text says what is missing."""


@dataclass(frozen=True)
class Exercise:
    """An exercise: its id, the number of its notebook, two hints (the third is the solution), its check."""

    id: str
    title: str
    notebook: str
    hints: tuple[str, str]
    check: CheckFunction

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


def exercise(
    id: str, *, title: str, notebook: str, hints: tuple[str, str]
) -> Callable[[CheckFunction], CheckFunction]:
    """Register the decorated function as the check of an exercise."""

    def register(check: CheckFunction) -> CheckFunction:
        if id in _REGISTRY and _REGISTRY[id].check.__module__ != check.__module__:
            raise ValueError(f"exercise {id} is registered twice")
        _REGISTRY[id] = Exercise(id, title, notebook, hints, check)
        return check

    return register


@functools.cache
def _load_checks() -> None:
    from labkit.course import checks

    for module in pkgutil.iter_modules(checks.__path__):
        importlib.import_module(f"{checks.__name__}.{module.name}")


def registry() -> dict[str, Exercise]:
    """Every exercise of the course by its id, in their order."""
    _load_checks()
    return dict(sorted(_REGISTRY.items(), key=lambda item: _order(item[0])))


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


@dataclass
class Look:
    """What a check has at hand: the lab, clients of its own, the answer, and a way to say what it saw."""

    answer: Any = None
    lines: list[tuple[bool, str]] = field(default_factory=list)
    _clients: list[Client] = field(default_factory=list)

    @property
    def lab(self) -> topology.Lab:
        """The newest lab that runs in this kernel."""
        labs = topology.running()
        if not labs:
            self.not_attempted(
                "no lab runs in this kernel: run the cell with `labkit.start` (again)"
            )
        return labs[-1]

    async def connect(self, server: str | None = None, **options: Any) -> Client:
        """A client of the check's own; it is closed when the check ends."""
        client = await self.lab.connect(server, **{"name": CLIENT_NAME, **options})
        self._clients.append(client)
        return client

    def expect(self, met: bool, seen: str, wrong: str = "") -> bool:
        """Note one expectation: `seen` when it is met, else `wrong`, which names the mistake."""
        self.lines.append((met, seen if met else (wrong or f"not so: {seen}")))
        return met

    def not_attempted(self, text: str) -> NoReturn:
        """End the check: there is nothing to judge yet, and `text` says what is missing."""
        raise NotAttemptedError(text)

    async def close(self) -> None:
        """Close the check's clients, also where their server is gone."""
        import nats.errors

        for client in self._clients:
            with contextlib.suppress(OSError, nats.errors.Error):
                await client.close()


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

    def __init__(self, id: str, answer: Any) -> None:
        self.id, self.answer = id, answer

    def __await__(self) -> Generator[Any, None, Result]:
        return _check(get(self.id), self.answer).__await__()

    def __repr__(self) -> str:
        return f'Nothing was checked: put await in front, as in  await check("{self.id}")'


def check(id: str, answer: Any = None) -> Checking:
    """Check an exercise: `await check("1.1")`, or with an answer `await check("1.3a", answer)`.

    Awaited, it gives the Result, which the notebook shows, and keeps it in your progress. Takes
    30 s at most. Raises UnknownExerciseError for an id that is not there.
    """
    return Checking(id, answer)


async def _check(exercise: Exercise, answer: Any) -> Result:
    import nats.errors

    look = Look(answer=None if answer is ... else answer)
    deadline = asyncio.timeout(CHECK_TIMEOUT)
    outcome: Outcome
    try:
        async with deadline:
            for lab in topology.running()[-1:]:
                await lab.clients.settle()
            await exercise.check(look)
        outcome = "right" if look.lines and all(met for met, _ in look.lines) else "wrong"
    except NotAttemptedError as missing:
        outcome = "not yet"
        look.lines.append((False, str(missing)))
    except (LabError, OSError, nats.errors.Error) as error:
        outcome = "wrong" if deadline.expired() else "not yet"
        look.lines.append((False, _what_stopped_it(error, deadline.expired())))
    finally:
        await look.close()
    result = Result(exercise.id, outcome, tuple(_line(outcome, *line) for line in look.lines))
    progress.record(exercise.id, outcome)
    return result


def _as_html(text: str) -> str:
    """A sentence for the page, with what stands between backticks set as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))


def _line(outcome: Outcome, met: bool, text: str) -> str:
    mark = "✔" if met else "·" if outcome == "not yet" else "✘"
    return f"{mark} {text}"


def _what_stopped_it(error: Exception, expired: bool) -> str:
    """Why a check could not look. Raises `error` again where it is a fault of the check itself."""
    down = _what_is_down()
    if expired:
        text = f"the check did not come to an end within {CHECK_TIMEOUT:g} s"
        return f"{text}; {down}" if down else text
    # With every server up, an answer that a check waits for in vain is a case it must judge itself.
    if not down and (isinstance(error, TimeoutError) or not isinstance(error, (LabError, OSError))):
        raise error
    return down or f"the check could not look: {error}"


def _what_is_down() -> str:
    """Which server of the newest lab does not run, and how to start it; "" when all do."""
    for lab in topology.running()[-1:]:
        for server in lab.values():
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
            return f'One step more: hint("{self.exercise.id}")'
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
    before = progress.load().get(id, progress.Entry()).hints
    last = len(wanted.hints) + 1
    shown = min(max(before + 1 if step is None else step, 1), last)
    progress.record_hint(id, shown)
    return Hint(wanted, shown)
