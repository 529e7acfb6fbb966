"""A learner's walk through each notebook, queued at once: nothing fails, hangs or is passed over."""

from __future__ import annotations

from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from labkit.course import exercises, notebooks
from tests.notebooks import run_all as runner
from tests.notebooks.run_all import run_all
from tests.notebooks.walk import problems, steps

EVERY = notebooks.every_notebook()


@pytest.mark.parametrize("path", EVERY, ids=lambda path: path.stem)
def test_every_cell_runs_twice_and_every_exercise_stripped_and_solved(path: Path):
    assert problems(notebooks.read(path), path.parent) == []


@pytest.mark.parametrize("path", EVERY, ids=lambda path: path.stem)
def test_the_walk_checks_each_exercise_of_the_notebook(path: Path):
    wanted = {id for id, e in exercises.registry().items() if e.notebook == notebooks.number(path)}
    shown = [
        step.shows for step in steps(notebooks.read(path)) if step.shows.startswith("Exercise ")
    ]
    for id in wanted:
        outcomes = [heading for heading in shown if heading.startswith(f"Exercise {id}:")]
        assert outcomes == [f"Exercise {id}: {o}" for o in ("not yet", "right", "right")]
    assert len(shown) == 3 * len(wanted)


SOLVED = """# Exercise 0.1
answer = 0
### BEGIN SOLUTION
answer = 1
### END SOLUTION"""
CHECK = 'await check("0.1")'
STRIPPED = SOLVED.split("### ")[0] + notebooks.PLACEHOLDER


def of(*cells: str):
    """A notebook of these cells: a heading is text, everything else is code."""
    made = [(new_markdown_cell if c.startswith("##") else new_code_cell)(c) for c in cells]
    return new_notebook(cells=made)


def test_an_exercise_is_left_out_until_the_next_one_begins():
    notebook = of("first", "### Exercise 0.1", SOLVED, CHECK, "later", "### Exercise 0.2", "last")
    walked = [step.source for step in steps(notebook)]
    solved = [SOLVED, CHECK] * 2
    assert walked == ["first"] * 2 + [STRIPPED, CHECK] + ["later"] * 2 + solved + ["last"] * 2


def test_the_walk_sees_a_check_that_comes_out_otherwise(tmp_path: Path):
    fake = (
        "async def check(id):\n    print(f'Exercise {id}: ' + ('wrong' if answer else 'not yet'))"
    )
    found = problems(of(fake, SOLVED, CHECK, "1 + 1"), tmp_path)
    assert len(found) == 2, "the stripped exercise is as it should be"
    assert "should show 'Exercise 0.1: right', and showed: Exercise 0.1: wrong" in found[0]


def test_the_walk_sees_a_cell_that_fails_when_it_is_run_again_and_those_aborted_for_it(
    tmp_path: Path,
):
    found = problems(of("names = ['ada']", "names.remove('ada')", "2 + 2"), tmp_path)
    assert len(found) == 3, "the second run of the second cell, and the last cell twice"
    assert found[0].startswith("step 4, \"names.remove('ada')\", was error ValueError")
    assert "was aborted" in found[1]


def test_the_walk_sees_a_cell_that_only_a_solution_lets_run(tmp_path: Path):
    checks = "async def check(id):\n    print(f'Exercise {id}: not yet')"
    found = problems(of(checks, SOLVED.replace("answer = 0\n", ""), CHECK, "answer", "1"), tmp_path)
    assert "NameError: name 'answer' is not defined" in found[0]


def test_the_runner_sees_cells_that_the_kernel_passes_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As with nest-asyncio 1.6: queued cells get no answer, and one by one nobody would notice."""
    monkeypatch.setattr(runner, "REPLY_TIMEOUT", 2.0)
    deaf = """
async def pass_over(*message):
    pass
get_ipython().kernel.shell_handlers["execute_request"] = pass_over
"""
    statuses = [ran.status for ran in run_all(["1 + 1", deaf, "2 + 2"], tmp_path)]
    assert statuses == ["ok", "ok", "skipped"]


def test_scripts_and_top_level_await_can_be_queued_together(tmp_path: Path):
    cells = [
        "import asyncio, nest_asyncio2; nest_asyncio2.apply()",
        "async def main():\n    await asyncio.sleep(0.05)\n    print('script')",
        "asyncio.run(main())",
        "await main()",
        "asyncio.run(main())",
        "print('last')",
    ]
    ran = run_all(cells, tmp_path)
    assert [r.status for r in ran] == ["ok"] * 6
    assert [r.shown for r in ran[2:]] == ["script\n", "script\n", "script\n", "last\n"]
