"""Progress: which exercises were tried, how they came out, kept in a file of the workspace."""

from __future__ import annotations

import contextlib
import html
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

WORKSPACE_VARIABLE = "LABKIT_WORKSPACE"
HIDDEN = ".labkit"  # folder in a workspace that holds what is labkit's
FILE = "progress.json"
MARKS = {"right": "✔ right", "wrong": "✘ wrong", "not yet": "· not yet", "": "–"}

_IN_MEMORY: dict[str, Entry] = {}  # where there is no workspace: a script, CI


@dataclass
class Entry:
    """How an exercise stands: whether it was ever right, its latest outcome, tries and hints used."""

    solved: bool = False
    latest: str = ""
    tries: int = 0
    hints: int = 0

    def __post_init__(self) -> None:
        numbers = (self.solved, self.tries, self.hints)
        if self.latest not in MARKS or not all(isinstance(number, int) for number in numbers):
            raise ValueError(f"no entry of progress: {self}")

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
    """All entries by exercise. A file that makes no sense is put aside, and that is said."""
    folder = workspace()
    if folder is None:
        return _IN_MEMORY
    path = folder / HIDDEN / FILE
    try:
        return {key: Entry(**value) for key, value in json.loads(path.read_text("utf-8")).items()}
    except FileNotFoundError:
        return {}
    except OSError as error:
        print(f"Your progress in {path} cannot be read: {error.strerror}.")
    except (ValueError, TypeError, AttributeError):
        _put_aside(path)
    return {}


def _put_aside(path: Path) -> None:
    """Keep a broken file under the first name that is not taken."""
    counter = 1
    while (aside := path.with_suffix(f".broken-{counter}.json")).exists():
        counter += 1
    with contextlib.suppress(OSError):  # save() then says that nothing can be written here
        path.rename(aside)
        print(f"The progress file made no sense. It is kept as {aside.name}; a new one begins.")


def save(entries: dict[str, Entry]) -> None:
    """Keep the entries; the file is replaced whole. A full or read-only disk does not stop a lesson."""
    folder = workspace()
    if folder is None:
        return
    path = folder / HIDDEN / FILE
    draft = path.with_suffix(f".{os.getpid()}.new")
    try:
        with contextlib.suppress(FileNotFoundError):
            path.read_bytes()  # a file that could not be read was not loaded: do not replace it
        draft.write_text(json.dumps({k: asdict(v) for k, v in entries.items()}, indent=1), "utf-8")
        draft.replace(path)
    except OSError as error:
        print(f"Your progress could not be saved in {path}: {error.strerror}.")
        with contextlib.suppress(OSError):
            draft.unlink()


def record(exercise: str, outcome: str) -> None:
    """Note one more try and how it came out."""
    entries = load()
    entry = entries.setdefault(exercise, Entry())
    entry.latest = outcome
    entry.solved = entry.solved or outcome == "right"
    entry.tries += outcome != "not yet"
    save(entries)


def record_hint(exercise: str, shown: int) -> None:
    """Note how many hints of an exercise have been shown."""
    entries = load()
    entry = entries.setdefault(exercise, Entry())
    entry.hints = max(entry.hints, shown)
    save(entries)


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
    """The exercises of the course, or of one notebook ("11"), and how they stand."""
    from labkit.course.exercises import registry

    entries = load()
    rows = []
    for exercise in registry().values():
        entry = entries.get(exercise.id, Entry())
        if notebook in (None, exercise.notebook):
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
