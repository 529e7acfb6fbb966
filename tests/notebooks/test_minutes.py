"""A notebook's minutes are what it takes to read and do, and an hour leaves ten of its sixty."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from labkit.course import exercises, notebooks

WORDS_A_MINUTE = 200
SECONDS_A_LINE = 3  # of code
SECONDS_A_CELL = 5  # to run it and to look at what it shows
NEW_EXERCISE = 5  # minutes, until somebody new to NATS was watched doing it


def test_every_notebook_has_its_minutes_in_its_header_and_in_the_readme():
    readme = (notebooks.course_folder().parent / "README.md").read_text("utf-8")
    planned = notebooks.minutes()
    assert set(planned) == {notebooks.number(path) for path in notebooks.every_notebook()}
    for path in notebooks.every_notebook():
        said = planned[notebooks.number(path)]
        assert notebooks.in_words(said) in notebooks.read(path).cells[0].source, path.name
        total = " + ".join(f"{n}{' at home' * (k == 'home')}" for k, n in said.items())
        (row,) = [line for line in readme.splitlines() if line.startswith(f"| [{path.stem[:2]} ")]
        assert row.split("|")[2].strip() == total, row


def test_an_hour_has_fifty_minutes_in_the_room():
    hours: dict[str, int] = {}
    for number, said in notebooks.minutes().items():
        hours[number[0]] = hours.get(number[0], 0) + said.get("room", 0)
    assert all(total <= 50 for total in hours.values()), hours


def reading(cells: list[Any]) -> float:
    """Minutes to read these cells, run them and do their exercises, as minutes.toml reckons."""
    took = 0.0
    for cell in cells:
        if cell.cell_type == "markdown":
            took += len(cell.source.split()) / WORDS_A_MINUTE
            continue
        exercise = exercises.cell_exercise(cell.source)
        shown = notebooks.strip_source(cell.source, exercise) if exercise else cell.source
        lines = [line for line in shown.splitlines() if line.strip()]
        took += (len(lines) * SECONDS_A_LINE + SECONDS_A_CELL) / 60
        took += notebooks.exercise_minutes().get(exercise, NEW_EXERCISE) if exercise else 0
    return took


def at_home(cells: list[Any]) -> tuple[int, int]:
    """The first cell of a notebook's part for at home, and the first one after it."""
    begin = [n for n, c in enumerate(cells) if c.source.startswith("## At home")]
    end = [n for n, c in enumerate(cells) if c.source.startswith("progress(")]
    return (begin[0], end[0]) if begin else (len(cells), len(cells))


READ = [path for path in notebooks.every_notebook() if not notebooks.is_slides(path)]


@pytest.mark.parametrize("path", READ, ids=lambda path: path.stem[:2])
def test_a_notebook_is_read_and_done_in_its_minutes(path: Path):
    cells = notebooks.read(path).cells
    begin, end = at_home(cells)
    took = {"room": reading(cells[:begin] + cells[end:]), "home": reading(cells[begin:end])}
    planned = notebooks.minutes()[notebooks.number(path)]
    if "room" not in planned:
        took = {"home": sum(took.values())}
    for where, estimate in took.items():
        said = planned.get(where, 0)
        assert estimate <= said < estimate * 1.25 + 2, (
            f"{where}: {said} said, {estimate:.1f} reckoned"
        )


def test_minutes_are_given_to_exercises_that_are_there():
    assert set(notebooks.exercise_minutes()) <= set(exercises.registry())


def test_the_notes_of_a_lecture_add_up_to_its_minutes():
    for path in filter(notebooks.is_slides, notebooks.every_notebook()):
        cells = notebooks.read(path).cells
        notes = [
            c.source for c in cells if c.metadata.get("slideshow", {}).get("slide_type") == "notes"
        ]
        spoken = [int(m[1]) for note in notes if (m := re.match(r"\*(\d+) minutes?\.\*", note))]
        assert len(spoken) == len(notes), "each note begins with its minutes"
        assert sum(spoken) == notebooks.minutes()[notebooks.number(path)]["room"]
