"""Settings that every test run needs, wherever it is started from."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from labkit.course.play import SEED
from labkit.course.store import WORKSPACE_VARIABLE
from labkit.servers.ports import SHARE
from tests import workers

pytest_plugins = ["pytester"]
ROOT = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    """nbval resolves its sanitize file against the working folder: name it in full.

    Tests run in a terminal of the course's JupyterLab must not count as the learner's progress.
    Where no bytecode may be written beside the sources, it goes into the environment's folder: all
    the kernels and programs of a run import the same modules, three times as fast when compiled.
    """
    os.environ.pop(WORKSPACE_VARIABLE, None)
    os.environ[SEED] = "1"  # kernels whose outputs are compared make up the same values each time
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        number, workers_here = worker.removeprefix("gw"), os.environ["PYTEST_XDIST_WORKER_COUNT"]
        os.environ[SHARE] = f"{number}/{workers_here}"
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
        os.environ.setdefault("PYTHONPYCACHEPREFIX", str(Path(sys.prefix) / "pycache"))
    config.option.nbval_sanitize_with = str(ROOT / "tests" / "sanitize.cfg")
    config.pluginmanager.register(workers.plugin_for(config))
