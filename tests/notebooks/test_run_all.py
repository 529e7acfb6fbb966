"""Every notebook, solved and stripped, runs to its end when all its cells are queued at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_notebook

from labkit.course import exercises, notebooks
from tests.notebooks import run_all as runner
from tests.notebooks.run_all import failures, run_all

EVERY = notebooks.every_notebook()


@pytest.mark.parametrize("path", EVERY, ids=lambda path: path.stem)
def test_the_solved_notebook_runs_with_run_all(path: Path):
    assert failures(notebooks.read(path), path.parent) == []


@pytest.mark.parametrize("path", EVERY, ids=lambda path: path.stem)
def test_the_stripped_notebook_runs_with_run_all_and_every_check_says_not_yet(path: Path):
    stripped = notebooks.strip(notebooks.read(path), path.name)
    ran = run_all(stripped, path.parent)
    assert [r for r in ran if r.status != "ok"] == []
    sources = [cell.source for cell in stripped.cells if cell.cell_type == "code"]
    checks = [r.shown for r, source in zip(ran, sources, strict=True) if "await check(" in source]
    known = exercises.registry().values()
    wanted = [e for e in known if e.notebook == notebooks.number(path)]
    assert len(checks) == len(wanted), "each of its exercises is checked"
    assert all(": not yet" in shown for shown in checks), checks


def of(*sources: str):
    return new_notebook(cells=[new_code_cell(source) for source in sources])


def test_the_runner_sees_a_cell_that_fails_and_those_that_were_aborted_for_it(tmp_path: Path):
    found = failures(of("1 + 1", "1 / 0", "2 + 2"), tmp_path)
    assert found[0].startswith("code cell 2 was error ZeroDivisionError")
    assert found[1].startswith("code cell 3 was aborted")
    assert len(found) == 2


def test_the_runner_sees_cells_that_the_kernel_passes_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As with nest-asyncio 1.6: queued cells get no answer, and one by one nobody would notice."""
    monkeypatch.setattr(runner, "REPLY_TIMEOUT", 5.0)
    deaf = """
async def pass_over(*message):
    pass
get_ipython().kernel.shell_handlers["execute_request"] = pass_over
"""
    found = failures(of("1 + 1", deaf, "2 + 2"), tmp_path)
    assert found == ["code cell 3 was skipped the kernel gave no answer for 5 s"]


def test_scripts_and_top_level_await_can_be_queued_together(tmp_path: Path):
    cells = of(
        "import asyncio, nest_asyncio2; nest_asyncio2.apply()",
        "async def main():\n    await asyncio.sleep(0.05)\n    print('script')",
        "asyncio.run(main())",
        "await main()",
        "asyncio.run(main())",
        "print('last')",
    )
    ran = run_all(cells, tmp_path)
    assert [r.status for r in ran] == ["ok"] * 6
    assert [r.shown for r in ran[2:]] == ["script\n", "script\n", "script\n", "last\n"]
