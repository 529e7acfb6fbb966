"""What a lecture must hold so that its slides work, and what of it a learner's copy shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest

from labkit.course import notebooks, slides

ROOT = Path(__file__).resolve().parent.parent.parent
LECTURES = [path for path in notebooks.every_notebook() if notebooks.is_slides(path)]
KEYS = (  # as labkit-slides takes them
    "Space, Page Down",
    "Shift+Space, Page Up",
    "Shift+Enter, Ctrl+Enter",
    "Enter, then Esc",
    "T",
    "B, F",
    "Home, End",
)


def by_slide(path: Path) -> list[list[Any]]:
    """The cells of each slide of a lecture."""
    found: list[list[Any]] = []
    for cell in notebooks.read(path).cells:
        if slides.slide_type(cell) in ("slide", "subslide"):
            found.append([])
        found[-1].append(cell)
    return found


@pytest.mark.parametrize("path", LECTURES, ids=lambda path: path.stem[:2])
def test_a_prediction_is_followed_by_a_run_and_then_by_an_answer_that_waits(path: Path):
    asked = [cells for cells in by_slide(path) if any("**Predict:**" in c.source for c in cells)]
    assert asked
    for cells in asked:
        shown = [c for c in cells if slides.slide_type(c) not in ("skip", "notes")]
        kinds = [(c.cell_type, slides.slide_type(c) == "fragment") for c in shown]
        assert kinds[1:] == [("code", False), ("markdown", True)], cells[0].source


@pytest.mark.parametrize("path", LECTURES, ids=lambda path: path.stem[:2])
def test_imports_and_helpers_are_on_no_slide(path: Path):
    for cells in by_slide(path):
        shown = [
            c.source for c in cells if c.cell_type == "code" and slides.slide_type(c) != "skip"
        ]
        assert len(shown) <= 1, "one live cell a claim"
        assert not any(
            line.startswith(("import ", "from ")) for s in shown for line in s.split("\n")
        )


def keys(text: str) -> dict[str, str]:
    """The rows of the table of keys: what each key does."""
    table = text.partition("| key | what it does |\n|---|---|\n")[2].partition("\n\n")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("|")]
    return {key: does for key, does in rows}


@pytest.mark.parametrize("path", LECTURES, ids=lambda path: path.stem[:2])
def test_the_first_notes_list_the_keys_of_the_readme(path: Path):
    (notes,) = [c.source for c in by_slide(path)[0] if slides.slide_type(c) == "notes"]
    readme = keys((ROOT / "README.md").read_text("utf-8"))
    assert [key for key in KEYS if key not in readme] == []
    there = "open this window"  # the notes stand in the presenter's view
    assert keys(notes) == readme | {"T": there}


def test_the_instructors_page_lists_the_keys_of_the_readme():
    readme, page = (ROOT / name for name in ("README.md", "docs/instructor.md"))
    assert keys(page.read_text("utf-8")) == keys(readme.read_text("utf-8"))


def test_a_learners_copy_folds_the_notes_of_the_speaker():
    note = nbformat.v4.new_markdown_cell("*1 minute.* Wait for it.")
    note.metadata = {"slideshow": {"slide_type": "notes"}}
    body = nbformat.v4.new_markdown_cell("A name, not a place.")
    copy = notebooks.strip(nbformat.v4.new_notebook(cells=[note, body]), "a lecture")
    assert [cell.source for cell in copy.cells] == [
        "<details><summary>For the speaker</summary>\n\n*1 minute.* Wait for it.\n\n</details>",
        "A name, not a place.",
    ]
