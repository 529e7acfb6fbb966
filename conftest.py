"""Settings that every test run needs, wherever it is started from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from labkit.course.play import SEED
from labkit.course.store import WORKSPACE_VARIABLE

pytest_plugins = ["pytester"]
ROOT = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    """nbval resolves its sanitize file against the working folder: name it in full.

    Tests run in a terminal of the course's JupyterLab must not count as the learner's progress.
    """
    os.environ.pop(WORKSPACE_VARIABLE, None)
    os.environ[SEED] = "1"  # kernels whose outputs are compared make up the same values each time
    config.option.nbval_sanitize_with = str(ROOT / "tests" / "sanitize.cfg")
