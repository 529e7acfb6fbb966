"""Settings that every test run needs, wherever it is started from."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
ROOT = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    """nbval resolves its sanitize file against the working folder: name it in full."""
    config.option.nbval_sanitize_with = str(ROOT / "tests" / "sanitize.cfg")
