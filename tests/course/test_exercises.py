"""Checks, hints and progress as a learner meets them."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import nats.errors
import pytest

import labkit
from labkit import check, hint
from labkit.course import exercises, store
from labkit.course.checks import notebook_11
from labkit.course.look import Look
from labkit.servers.wait import wait_until


def connected(lab: labkit.Lab) -> list[str]:
    return [c["name"] for c in lab["n1"].monitor("connz")["connections"]]


@pytest.fixture(autouse=True)
def no_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(store.WORKSPACE_VARIABLE, raising=False)
    monkeypatch.setattr(store, "_IN_MEMORY", [])


@pytest.fixture
def ws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / store.HIDDEN).mkdir()
    monkeypatch.setenv(store.WORKSPACE_VARIABLE, str(tmp_path))
    return tmp_path


@pytest.fixture
def as_exercise(monkeypatch: pytest.MonkeyPatch) -> Callable[[exercises.CheckFunction], None]:
    """Puts a check function in the place of exercise 1.1's."""

    def put(function: exercises.CheckFunction) -> None:
        monkeypatch.setattr(notebook_11, "european_stores", function)

    return put


async def test_without_a_lab_a_check_says_which_cell_to_run():
    result = await check("1.1")
    assert result.outcome == "not yet"
    assert result.lines == (
        "· no lab runs in this kernel: run the cell with `labkit.start` (again)",
    )
    assert repr(result).endswith('hint("1.1")')


def test_a_check_without_await_says_so_and_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shown = repr(check("1.1"))
        gc.collect()
    assert 'put await in front, as in  await check("1.1")' in shown


async def test_an_unknown_exercise_gets_the_near_one():
    with pytest.raises(
        exercises.UnknownExerciseError, match=r"no exercise '1\.3'; did you mean '1\.3"
    ):
        await check("1.3")


async def test_an_exercise_named_without_quotes_is_told():
    with pytest.raises(exercises.UnknownExerciseError, match=r"in quotes.*not 1\.1"):
        await check(1.1)


async def test_with_a_stopped_server_a_check_says_how_to_start_it():
    with labkit.start("single") as lab:
        lab["n1"].stop()
        result = await check("1.1")
    assert result.outcome == "not yet"
    assert result.lines == ("· server n1 is stopped: lab['n1'].start()",)


async def test_a_server_that_goes_down_during_a_check_is_named(as_exercise):
    async def look_on(look: Look) -> None:
        nc = await look.connect()
        look.lab["n1"].kill()
        await nc.flush(1)

    as_exercise(look_on)
    with labkit.start("single"):
        result = await check("1.1")
    assert result.outcome == "not yet"
    assert result.lines == ("· server n1 is stopped: lab['n1'].start()",)


async def test_an_answer_that_a_check_did_not_reckon_with_is_no_end_of_its_time(as_exercise):
    async def ask_nobody(look: Look) -> None:
        nc = await look.connect()
        await nc.subscribe("quiet")
        await nc.request("quiet", timeout=0.05)

    as_exercise(ask_nobody)
    with labkit.start("single") as lab:
        with pytest.raises(nats.errors.TimeoutError):
            await check("1.1")
        wait_until(lambda: connected(lab) == [], 5, "the check's clients to be gone")


async def test_a_check_closes_its_clients():
    with labkit.start("single") as lab:
        nc = await lab.connect(name="collector")
        await nc.subscribe("metrics.*.cpu")
        await nc.flush()
        await check("1.2")
        wait_until(lambda: connected(lab) == ["collector"], 5, "the check's clients to be gone")
        await nc.close()


async def test_a_check_that_does_not_end_is_ended(as_exercise, monkeypatch: pytest.MonkeyPatch):
    async def forever(look: Look) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(exercises, "CHECK_TIMEOUT", 0.05)
    as_exercise(forever)
    result = await check("1.1")
    assert result.outcome == "wrong"
    assert "did not come to an end within 0.05 s" in result.lines[0]


async def test_a_fault_in_a_check_is_not_swallowed(as_exercise):
    async def faulty(look: Look) -> None:
        raise KeyError("a fault of ours")

    as_exercise(faulty)
    with pytest.raises(KeyError, match="a fault of ours"):
        await check("1.1")


def test_each_hint_shows_one_step_more_and_the_third_is_the_solution():
    assert repr(hint("1.1")).startswith("Hint 1 of 3: ")
    second = repr(hint("1.1"))
    assert "Hint 2 of 3: " in second
    third = repr(hint("1.1"))
    assert 'subscribe("store.eu.>")' in third
    assert third.endswith("write it yourself.")
    assert repr(hint("1.1")) == third, "after the last there is no other"
    assert repr(hint("1.1", 1)).count("Hint") == 1
    assert "<pre>" in hint("1.1", 3)._repr_html_()
    assert "<code>&gt;</code> for one or more" in hint("1.1", 3)._repr_html_()


def test_progress_is_kept_in_the_workspace(ws: Path):
    store.record("1.1", "wrong")
    store.record("1.1", "right")
    store.record("1.1", "not yet")
    store.record_hint("1.2", 2)
    entries = store.load()
    assert entries["1.1"] == store.Entry(solved=True, latest="not yet", tries=2)
    assert entries["1.2"].hints == 2
    assert "11  1.1   ✔ right" in repr(labkit.progress())
    assert labkit.progress().summary.startswith("1 of ")


def test_progress_of_a_notebook_takes_its_number_as_a_number_too(ws: Path):
    assert repr(labkit.progress(11)) == repr(labkit.progress("11"))
    with pytest.raises(
        exercises.UnknownExerciseError, match="no exercises in a notebook '77'; they are in 00, 11"
    ):
        labkit.progress("77")


def test_progress_is_found_from_a_folder_of_the_workspace(ws: Path, monkeypatch):
    monkeypatch.delenv(store.WORKSPACE_VARIABLE)
    (ws / "1-hour").mkdir()
    monkeypatch.chdir(ws / "1-hour")
    assert store.workspace() == ws


@pytest.mark.parametrize(
    "broken", ["{ broken", "[]", '{"outcome": "right"}', '{"exercise": "1.1", "outcome": "banana"}']
)
def test_a_broken_line_of_progress_is_passed_over_and_said_once(ws: Path, capsys, broken: str):
    store.record("1.1", "right")
    with (ws / store.HIDDEN / store.FILE).open("a") as file:
        file.write(broken)  # cut short, as by a crash
    store.record("1.2", "wrong")
    assert store.load() == store.load()
    assert store.load()["1.1"].solved
    assert store.load()["1.2"].latest == "wrong"
    assert capsys.readouterr().out.count("makes no sense; it is passed over") == 1


def test_notebooks_that_save_at_the_same_time_lose_nothing(ws: Path):
    code = "from labkit.course import store\nfor _ in range(200): store.record('1.1', 'wrong')"
    together = [subprocess.Popen([sys.executable, "-c", code], cwd=ws) for _ in range(3)]
    assert [process.wait(60) for process in together] == [0, 0, 0]
    assert store.load()["1.1"].tries == 600


async def test_progress_that_cannot_be_read_or_saved_stops_no_check(ws: Path, capsys):
    (ws / store.HIDDEN / store.FILE).mkdir()
    result = await check("1.1")
    assert result.outcome == "not yet"
    assert store.load() == {}
    said = capsys.readouterr().out
    assert "cannot be read: " in said
    assert "could not be saved" in said
