"""Fixtures of the server tests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import labkit


@pytest.fixture
def own_temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder of this test's own: at its end no lab may have left anything there."""
    folder = tmp_path / "t"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    left = labkit.running()
    for lab in left:
        lab.stop()  # so that only this test fails
    assert not left, "a lab was left running"
    assert list(folder.iterdir()) == [], "files were left in the temporary folder"
