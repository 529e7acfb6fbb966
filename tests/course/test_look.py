"""What checks have at hand: sentences, comparing, calling a learner's function, watching, breaking."""

from __future__ import annotations

import ast
import asyncio
import inspect
import string
import time
from pathlib import Path

import pytest

import labkit
from labkit.course import calling, exercises, play
from labkit.course.calling import call, call_in_thread
from labkit.course.comparing import compare
from labkit.course.wording import Fact, in_words

CHECKS = sorted(exercises.CHECKS.glob("notebook_*.py"))
GIVEN = {"raised", "anew", "afresh"}  # facts that every sentence may use


# --- comparing ---------------------------------------------------------------------------------


def host(line: str) -> str:
    return line.split()[0]


SENT = ["a 1", "a 2", "b 1", "a 2"]


@pytest.mark.parametrize(
    ("came", "different"),
    [
        (SENT, {}),
        (["b 1", *SENT[:2], "a 2"], {}),  # between senders there is no order
        (["a 1", "a 2", "b 1"], {"lost": ["a 2"]}),
        ([*SENT, "c 1"], {"strange": ["c 1"]}),
        ([*SENT, "b 1"], {"doubled": ["b 1"]}),
        (["a 2", "a 1", "b 1", "a 2"], {"shuffled": ["a"]}),
        ([], {"lost": ["a 1", "a 2", "a 2", "b 1"]}),
    ],
)
def test_what_was_sent_is_compared_with_what_came(came: list[str], different: dict):
    nothing = {"lost": [], "strange": [], "doubled": [], "shuffled": []}
    assert compare(SENT, came, host) == nothing | different


# --- sentences ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "reads"),
    [
        ("oslo", "oslo"),
        (2000, "2,000"),
        (0.5, "0.5"),
        ({"b", "a"}, "a, b"),
        ([], "none"),
        (list(range(20)), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, …"),
        (b"\xff", r"b'\xff'"),
        ("x" * 99, "x" * 99),
        (ValueError, "<class 'ValueError'>"),
    ],
)
def test_a_fact_reads_as_a_person_would_write_it(value: object, reads: str):
    assert in_words(value) == reads


def test_a_learners_value_is_cut_short_and_may_fail_to_say_what_it_is():
    class Silent:
        def __repr__(self) -> str:
            raise ValueError

    assert f"{Fact('y' * 999)!r}" == f"'{'y' * 59}…"
    assert f"{Fact(Silent())!r}" == "a Silent"
    assert f"{Fact([3, 2, 1]):n} {Fact([3, 2, 1]):2}" == "3 3, 2"


def calls(module: Path) -> list[tuple[str, ast.Call]]:
    """The sentences that the checks of a module say: the method of Look, and the call."""
    return [
        (node.func.attr, node)
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("need", "expect", "must", "compare")
        and ast.unparse(node.func.value) in ("look", "self", "self.look")
    ]


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def texts(says: object) -> list[str]:
    """All sentences in a table of sentences."""
    if isinstance(says, str):
        return [says]
    return [
        text for part in (says.values() if isinstance(says, dict) else says) for text in texts(part)
    ]


@pytest.mark.parametrize("module", CHECKS, ids=lambda path: path.stem)
def test_a_check_gives_every_fact_that_its_sentences_name(module: Path):
    """A sentence that is seldom said must not fail for a fact that is missing."""
    given = {
        keyword.arg
        for _, node in calls(module)
        for keyword in node.keywords
        if keyword.arg is not None
    }
    expanded = {  # facts that are given as **facts
        key.value
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Constant)
    }
    own = {"sent", "lost", "strange", "doubled", "shuffled"}  # of `compare`
    own |= {"name", "names", "subjects", "subject", "others"}  # of `client` and `alone`
    for exercise in exercises.registry().values():
        if f"notebook_{exercise.notebook}" == module.stem:
            for text in texts(exercise.says):
                assert fields(text) <= given | expanded | own | GIVEN | {"me"}, text


@pytest.mark.parametrize("module", CHECKS, ids=lambda path: path.stem)
def test_every_sentence_that_a_check_says_is_there_and_every_one_there_is_said(module: Path):
    said = {
        node.value
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Constant)
    }
    keys: set[str] = set()
    shared = set(exercises.tomllib.loads((exercises.CHECKS / "shared.toml").read_text()))
    for exercise in exercises.registry().values():
        if f"notebook_{exercise.notebook}" == module.stem:
            function = inspect.getsource(exercise.check_function())
            keys |= set(exercise.says) - shared
            first = {
                node.args[0 if attr == "compare" else 1].value
                for attr, node in calls(module)
                if ast.unparse(node) in ast.unparse(ast.parse(function))
                and len(node.args) > (attr != "compare")
                and isinstance(node.args[0 if attr == "compare" else 1], ast.Constant)
            }
            assert first <= set(exercise.says), exercise.id
    assert keys - {"name"} <= said, "sentences that nobody says"


# --- calling a learner's function ---------------------------------------------------------------


class Worker:
    async def drain(self, seconds: float = 0) -> str:
        await asyncio.sleep(seconds)
        return "drained"


async def test_a_function_is_called_and_timed():
    called = await call("drain", Worker().drain, 0.01)
    assert (called.value, called.problem) == ("drained", "")
    assert 0.01 <= called.took < 1


async def raises(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    "error", [ValueError("no"), asyncio.CancelledError(), KeyboardInterrupt(), SystemExit(3)]
)
async def test_whatever_a_function_raises_is_told_in_a_line(error: BaseException):
    called = await call("drain_one", raises, error)
    assert called.problem.startswith(f"drain_one raised {type(error).__name__}")


async def test_a_function_that_cannot_take_what_it_is_given_is_told():
    assert (
        "cannot be called as the exercise says" in (await call("f", Worker().drain, 1, 2)).problem
    )


async def test_a_function_that_never_returns_is_left(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(calling, "CALL_TIMEOUT", 0.05)
    called = await call("wait", asyncio.Event().wait)
    assert called.problem == "wait did not return within 0.05 s; what does it wait for?"


async def sleeps_on() -> None:
    time.sleep(60)


async def spins() -> None:
    while True:
        pass


@pytest.mark.skipif(not hasattr(calling.signal, "SIGALRM"), reason="this system has no alarm")
@pytest.mark.parametrize("function", [sleeps_on, spins])
async def test_a_function_that_holds_the_loop_is_interrupted(
    function, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(calling, "HELD_TIMEOUT", 0.2)
    called = await call("drain_one", function)
    assert "HeldError: it held the event loop for 0.2 s, without an await" in called.problem
    assert called.took < 5


async def test_a_plain_function_runs_beside_the_loop_and_is_ended():
    ended = []

    def spin() -> None:
        try:
            while True:
                pass
        finally:
            ended.append(True)

    called = await call_in_thread("publish_many", spin, limit=0.1)
    assert "publish_many did not return within 0.1 s" in called.problem
    async with asyncio.timeout(5):
        while not ended:
            await asyncio.sleep(0.01)


async def test_a_plain_function_that_asks_to_leave_is_told():
    called = await call_in_thread("f", lambda: (_ for _ in ()).throw(SystemExit(1)), limit=5)
    assert called.problem == "f raised SystemExit: 1"


# --- what a check does --------------------------------------------------------------------------


def test_fresh_names_differ_each_time_and_none_is_part_of_another():
    rounds = [play.names(5, but=["ada", "basil"]) for _ in range(20)]
    assert len({tuple(names) for names in rounds}) > 1
    for names in rounds:
        assert not any(a in b for a in names for b in names if a != b)
        assert not any("basil" in name for name in names)


async def test_a_standstill_is_seen():
    async with play.standstill() as held:
        await asyncio.sleep(0.02)
        time.sleep(0.1)  # what is measured here
        await asyncio.sleep(0)
    assert 0.05 < held.longest < 5


async def test_chaos_kills_in_turn_until_the_work_is_done():
    with labkit.start("cluster") as lab:
        nc = await lab.connect("n1")
        before = {lab["n2"].pid, lab["n3"].pid}

        async def until_both_are_others() -> None:
            while before & {lab["n2"].pid, lab["n3"].pid}:
                await asyncio.sleep(0.01)

        work = asyncio.ensure_future(until_both_are_others())
        killed = await play.chaos([lab["n2"], lab["n3"]] * 50, work)
        await work
        await nc.close()
        assert killed[:2] == ["n2", "n3"]
        assert all(server.state == "running" for server in lab.values())


async def test_a_load_counts_the_ends_of_its_requests():
    async def request(number: int) -> str:
        return "answered" if number % 2 else "no answer"

    load = play.Load(request, 1000)
    await load.run()
    assert load.enough.is_set()
    assert load.ended == {"answered": 500, "no answer": 500}
