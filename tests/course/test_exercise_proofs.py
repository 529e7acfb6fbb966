"""Each registered exercise proves that its check can fail: stripped, wrong, right.

An exercise gets these proofs by being registered. Its wrong answers are files in
tests/exercises/<id>/wrong-*.py whose first line holds what the check must say, right answers that
are written differently from the course's are right-*.py. An answer runs as it would in the
notebook: after the cells up to the one that starts the lab and the code of its own section, and
before its check cell.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import labkit
from labkit.course import exercises, notebooks, store

ANSWERS = Path(__file__).parent.parent / "exercises"
EVERY = exercises.registry()
SAYS = "# says: "
STARTS = re.compile(r"labkit\.start\(|= simulate\(")


def answers(kind: str) -> list[Path]:
    return sorted(ANSWERS.glob(f"*/{kind}-*.py"))


def named(path: Path) -> str:
    return f"{path.parent.name}-{path.stem}"


class Section:
    """The cells of a notebook that an exercise needs: what comes before it, itself, its check."""

    def __init__(self, id: str) -> None:
        cells = notebooks.read(notebooks.find(EVERY[id].notebook)).cells
        at = [n for n, c in enumerate(cells) if exercises.cell_exercise(c.source) == id]
        assert len(at) == 1, f"{id} must have one cell that begins with '# Exercise {id}'"
        headings = [n for n, c in enumerate(cells[: at[0]]) if "### Exercise " in c.source]
        assert headings, f"{id} must stand under a heading '### Exercise …'"
        code = [c.source for c in cells if c.cell_type == "code"]
        own = [c.source for c in cells[headings[-1] : at[0]] if c.cell_type == "code"]
        others = [c for c in own if exercises.cell_exercise(c) is None and "await check(" not in c]
        lab_starts = next(n for n, source in enumerate(code) if STARTS.search(source))
        self.before = [*code[: lab_starts + 1], *others]
        self.solved = cells[at[0]].source
        self.check = cells[at[0] + 1].source
        assert f'await check("{id}"' in self.check, f"the check must follow the cell of {id}"


@pytest.fixture
async def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[InteractiveShell]:
    """A notebook's Python without a notebook; its labs and tasks end with the test."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    config = Config()
    config.HistoryManager.enabled = False
    before = asyncio.all_tasks()
    yield InteractiveShell(config=config)
    for lab in labkit.running():
        lab.stop()
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


async def outcome(shell: InteractiveShell, id: str, answer: str) -> exercises.Result:
    """The result of the check when the exercise's cell holds this answer."""
    section = Section(id)
    for source in [*section.before, answer, section.check]:
        done = await shell.run_cell_async(
            source, store_history=False, transformed_cell=shell.transform_cell(source)
        )
        done.raise_error()
    return done.result


@pytest.mark.parametrize("id", EVERY)
async def test_a_stripped_exercise_says_not_yet(id: str, shell: InteractiveShell):
    stripped = notebooks.strip_source(Section(id).solved, id)
    assert notebooks.PLACEHOLDER in stripped
    assert (await outcome(shell, id, stripped)).outcome == "not yet"


@pytest.mark.parametrize("answer", answers("wrong"), ids=named)
async def test_a_wrong_answer_is_named(answer: Path, shell: InteractiveShell):
    text = answer.read_text()
    assert text.startswith(SAYS), f"{answer} must begin with {SAYS!r} and what the check says"
    expected = text.partition("\n")[0].removeprefix(SAYS)
    result = await outcome(shell, answer.parent.name, text)
    assert result.outcome == "wrong"
    assert expected in "\n".join(line for line in result.lines if line.startswith("✘"))


@pytest.mark.parametrize("id", EVERY)
async def test_the_solution_is_right(id: str, shell: InteractiveShell):
    result = await outcome(shell, id, Section(id).solved)
    assert result.outcome == "right", repr(result)


@pytest.mark.parametrize("answer", answers("right"), ids=named)
async def test_another_right_answer_is_right(answer: Path, shell: InteractiveShell):
    result = await outcome(shell, answer.parent.name, answer.read_text())
    assert result.outcome == "right", repr(result)


@pytest.mark.parametrize("id", EVERY)
def test_an_exercise_is_complete(id: str):
    folder = ANSWERS / id
    assert len(list(folder.glob("wrong-*.py"))) >= 2, "two wrong answers at least"
    assert len(list(folder.glob("right-*.py"))) >= 1, "a right answer written differently"
    assert len(EVERY[id].hints) == 2
    assert EVERY[id].solution().strip(), "the third hint is the solution"


def test_every_check_in_a_notebook_is_registered_and_every_answer_has_its_exercise():
    used = {
        id
        for path in notebooks.every_notebook()
        for cell in notebooks.read(path).cells
        if cell.cell_type == "code"
        for id in re.findall(r'await check\("([^"]+)"', cell.source)
    }
    assert used == set(EVERY)
    assert {path.name for path in ANSWERS.iterdir()} <= set(EVERY)


def test_proofs_run_in_a_terminal_of_the_course_are_no_progress_of_the_learner(tmp_path: Path):
    (tmp_path / store.HIDDEN).mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", __file__, "-k", "right and 0.1"],
        env={**os.environ, store.WORKSPACE_VARIABLE: str(tmp_path)},
        cwd=Path(__file__).parent.parent.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert re.search(r"^[2-9] passed", done.stdout, re.MULTILINE), done.stdout
    assert list((tmp_path / store.HIDDEN).iterdir()) == []
