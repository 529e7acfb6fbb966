"""Minutes are said once, in minutes.toml; the pages repeat them, and an hour leaves time for a break."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from labkit.course import minutes, notebooks

PLAN = minutes.read(notebooks.course_folder())
TOTALS = minutes.totals(PLAN)
AT_HOME = "At home"


def sections(path: Path) -> dict[str, list[str]]:
    """The headings of a notebook, an exercise by its number: those in the room and those at home."""
    found: dict[str, list[str]] = {"room": [], "home": []}
    where = "room" if "room" in PLAN[notebooks.number(path)] else "home"
    begins = where
    for cell in notebooks.read(path).cells:
        where = begins if cell.source.startswith("progress(") else where
        if cell.cell_type != "markdown":
            continue
        for heading in re.findall(r"^###? (.*)$", cell.source, re.MULTILINE):
            if heading.startswith(AT_HOME):
                where = "home"
            else:
                exercise = re.match(r"Exercise [\d.]+\w?", heading)
                found[where].append(exercise[0] if exercise else heading)
    return {where: names for where, names in found.items() if names}


READ = [path for path in notebooks.every_notebook() if not notebooks.is_slides(path)]


@pytest.mark.parametrize("path", READ, ids=lambda path: path.stem[:2])
def test_every_section_has_its_minutes_under_its_heading_and_in_its_order(path: Path):
    planned = {where: list(names) for where, names in PLAN[notebooks.number(path)].items()}
    assert planned == sections(path)


def test_every_notebook_has_minutes_and_every_trial_took_some():
    assert set(PLAN) == {notebooks.number(path) for path in notebooks.every_notebook()}
    for number, parts in PLAN.items():
        for names in parts.values():
            assert all(taken > 0 for taken in names.values()), number


def test_headers_say_the_minutes():
    for path in notebooks.every_notebook():
        words = minutes.in_words(TOTALS[notebooks.number(path)])
        assert words in notebooks.read(path).cells[0].source, path.name


def test_the_readme_and_the_run_sheet_are_as_labkit_notebooks_writes_them():
    for page, text in notebooks.pages().items():
        assert page.read_text("utf-8") == text, f"{page.name}: run `labkit notebooks`"


def test_the_readme_has_a_row_for_each_notebook():
    readme = (notebooks.course_folder().parent / "README.md").read_text("utf-8")
    for path in notebooks.every_notebook():
        total = TOTALS[notebooks.number(path)]
        said = " + ".join(f"{n}{' at home' * (where == 'home')}" for where, n in total.items())
        (row,) = [line for line in readme.splitlines() if line.startswith(f"| [{path.stem[:2]} ")]
        assert row.split("|")[2].strip() == said, row


def test_an_hour_has_forty_five_minutes_in_the_room():
    hours: dict[str, int] = {}
    for number, total in TOTALS.items():
        hours[number[0]] = hours.get(number[0], 0) + total.get("room", 0)
    assert all(total <= 45 for total in hours.values()), hours


def test_the_run_sheet_is_reckoned_from_the_medians(tmp_path: Path):
    (tmp_path / minutes.FILE).write_text(
        '[00.room]\n"Hello" = [3]\n[10.room]\n"Lecture" = [12, 10, 11]\n'
        '[11.room]\n"Ask" = [1.5]\n"Answer" = [9, 2]\n[11.home]\n"More" = [5]\n'
        '[20.room]\n"Lecture" = [10]\n'
    )
    plan = minutes.read(tmp_path)
    assert minutes.totals(plan)["11"] == {"room": 7, "home": 5}
    page = "# Page\n<!-- run sheet -->\nold\n<!-- end of the run sheet -->\nrest\n"
    titles = {"00": "00 Start", "10": "10 First", "11": "11 Second", "20": "20 Third"}
    assert minutes.in_run_sheet(page, plan, titles).splitlines() == [
        "# Page",
        "<!-- run sheet -->",
        "| clock | minutes | what |",
        "|---|---|---|",
        "| 8:50 | 3 | **00 Start** · Hello |",
        "| 9:00 | 11 | **10 First** · Lecture |",
        "| 9:11 | 1.5 | **11 Second** · Ask |",
        "| 9:12 | 5.5 | Answer |",
        "| 9:18 | 42 | **Break**, and time to catch up |",
        "| 10:00 | 10 | **20 Third** · Lecture |",
        "| 10:10 | 50 | **Break**, and time to catch up |",
        "<!-- end of the run sheet -->",
        "rest",
    ]


def test_the_notes_of_a_lecture_add_up_to_its_minutes():
    for path in filter(notebooks.is_slides, notebooks.every_notebook()):
        cells = notebooks.read(path).cells
        notes = [
            c.source for c in cells if c.metadata.get("slideshow", {}).get("slide_type") == "notes"
        ]
        spoken = [int(m[1]) for note in notes if (m := re.match(r"\*(\d+) minutes?\.\*", note))]
        assert len(spoken) == len(notes), "each note begins with its minutes"
        assert sum(spoken) == TOTALS[notebooks.number(path)]["room"]
