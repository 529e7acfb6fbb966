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
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import labkit
from labkit.course import exercises, notebooks, store

ANSWERS = Path(__file__).parent.parent / "exercises"
EVERY = exercises.registry()
SAYS = "# says: "
FIRST_CELLS_AGAIN = (
    "# then the first cells again"  # after an answer that leaves more than its client
)
STARTS = re.compile(r"labkit\.start\(|= simulate\(")


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


@dataclass(frozen=True)
class Answer:
    """What the exercise's cell holds, the outcome that it must get, and words of its ✘ line."""

    name: str
    source: str
    outcome: str
    says: str = ""


def answers(id: str) -> Iterator[Answer]:
    """The answers of an exercise, in the order in which a learner comes to the right one."""
    solved = Section(id).solved
    stripped = notebooks.strip_source(solved, id)
    assert notebooks.PLACEHOLDER in stripped
    yield Answer("stripped", stripped, "not yet")
    for path in sorted((ANSWERS / id).glob("wrong-*.py")):
        text = path.read_text()
        assert text.startswith(SAYS), f"{path} must begin with {SAYS!r} and what the check says"
        first, _, _ = text.partition("\n")
        yield Answer(path.stem, text, "wrong", first.removeprefix(SAYS))
    yield Answer("solution", solved, "right")
    for path in sorted((ANSWERS / id).glob("right-*.py")):
        yield Answer(path.stem, path.read_text(), "right")


class Learner:
    """A notebook's Python without a notebook, in which one answer is tried after the other."""

    def __init__(self, id: str, shell: InteractiveShell) -> None:
        self.section, self.shell = Section(id), shell
        self.begun = False

    async def run(self, source: str) -> Any:
        """What the cell shows. Raises what the cell raised."""
        transformed = self.shell.transform_cell(source)
        done = await self.shell.run_cell_async(
            source, store_history=False, transformed_cell=transformed
        )
        done.raise_error()
        return done.result

    async def outcome(self, answer: str) -> exercises.Result:
        """The result of the check when the exercise's cell holds this answer."""
        if not self.begun:
            for source in self.section.before:
                await self.run(source)
        self.begun = FIRST_CELLS_AGAIN not in answer
        await self.run(answer)
        return await self.run(self.section.check)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def learner(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Learner]:
    """A learner at an exercise; the labs and tasks of all the answers end with the last one."""
    config = Config()
    config.HistoryManager.enabled = False
    before = asyncio.all_tasks()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        patched.chdir(notebooks.find(EVERY[request.param].notebook).parent)  # as its kernel does
        yield Learner(request.param, InteractiveShell(config=config))
    for lab in labkit.running():
        lab.stop()
    # Some wrong answers leave thousands of tasks that failed; asyncio would tell of each at the end.
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("learner", "answer"),
    [pytest.param(id, answer, id=f"{id}-{answer.name}") for id in EVERY for answer in answers(id)],
    indirect=["learner"],
)
async def test_the_check_tells_an_answer(learner: Learner, answer: Answer):
    result = await learner.outcome(answer.source)
    assert result.outcome == answer.outcome, repr(result)
    assert answer.says in "\n".join(line for line in result.lines if line.startswith("✘"))


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
