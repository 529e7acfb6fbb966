"""Tests that measure time run alone, after the workers have ended, and count like any other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import workers

ROOT = Path(__file__).parent.parent.parent
CONFTEST = """
from tests import workers

def pytest_configure(config):
    config.addinivalue_line("markers", "alone: after the others")
    config.pluginmanager.register(workers.plugin_for(config))
"""
TESTS = """
import os, pytest

@pytest.mark.alone
def test_alone():
    assert "PYTEST_XDIST_WORKER" not in os.environ

@pytest.mark.parametrize("number", range(4))
def test_in_a_worker(number):
    assert "PYTEST_XDIST_WORKER" in os.environ

@pytest.mark.alone
def test_alone_that_fails():
    raise SystemError
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(TESTS)
    return pytester


def test_tests_marked_alone_run_after_the_workers_and_one_summary_counts_all(project):
    ran = project.runpytest_subprocess("-n", "2", "-p", "no:nbval")
    ran.assert_outcomes(passed=5, failed=1)
    assert ran.ret == pytest.ExitCode.TESTS_FAILED


def test_a_run_of_none_but_tests_marked_alone_is_a_run(project):
    ran = project.runpytest_subprocess(
        "-n", "2", "-p", "no:nbval", "-k", "test_alone and not fails"
    )
    ran.assert_outcomes(passed=1)
    assert ran.ret == pytest.ExitCode.OK


def test_the_cells_of_a_notebook_and_the_answers_of_an_exercise_stay_together():
    assert len({workers.scope(f"notebooks/1-c/12-r.ipynb::Cell {n}") for n in range(3)}) == 1
    proofs = "tests/course/test_exercise_proofs.py::test_the_check_tells_an_answer"
    answers = ["1.3a-stripped", "1.3b-stripped", "1.3b-wrong-one", "1.3b-right-two-or-more"]
    assert len({workers.scope(f"{proofs}[{answer}]") for answer in answers}) == 2
    assert workers.scope("tests/a.py::test_a[1.3b-x]") != workers.scope(
        "tests/a.py::test_a[1.3b-y]"
    )
