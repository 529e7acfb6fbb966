"""Checks make up fresh values in each of these tests, as they do for learners."""

from __future__ import annotations

import pytest

from labkit.course.play import SEED


@pytest.fixture(autouse=True)
def fresh_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SEED, raising=False)
