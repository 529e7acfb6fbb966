"""A learner runs a cell twice: nothing fails, nothing hangs."""

from __future__ import annotations

from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_notebook

from labkit.course import notebooks
from tests.notebooks.run_all import failures

EVERY = notebooks.every_notebook()


def sources(path: Path) -> list[str]:
    return [cell.source for cell in notebooks.read(path).cells if cell.cell_type == "code"]


def of(wanted: list[str]):
    return new_notebook(cells=[new_code_cell(source) for source in wanted])


@pytest.mark.parametrize("path", EVERY, ids=lambda path: path.stem)
def test_every_cell_can_be_run_twice_in_a_row(path: Path):
    *cells, last = sources(path)
    assert failures(of([source for source in cells for _ in range(2)] + [last]), path.parent) == []
