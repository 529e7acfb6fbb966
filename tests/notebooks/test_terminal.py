"""The sections "The same in a terminal": what they hold, and that the walk sees a row that isn't true.

That each row is true is seen in the walk through its notebook (`test_walk.py`).
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import labkit
from labkit.course import notebooks
from tests.notebooks import terminal
from tests.notebooks.terminal import Row

LABS = [p for p in notebooks.every_notebook() if re.match(r"[1-4][1-9]", notebooks.number(p))]
needs_nats = pytest.mark.skipif(not terminal.installed(), reason="the nats CLI is not installed")
HEAD = f"""{terminal.HEADING}

In a terminal, type `nats context select lab`.

| command | what to look for |
|---|---|
"""


@pytest.mark.parametrize("path", LABS, ids=lambda path: path.stem[:2])
def test_a_lab_notebook_ends_with_five_to_ten_commands(path: Path):
    cells = notebooks.read(path).cells
    text = terminal.section(cells)
    assert text, f"{path.name} has no section {terminal.HEADING!r}"
    assert terminal.select(text).startswith("nats context select lab")
    commands = [row.command for row in terminal.rows(text)]
    assert 5 <= len(commands) <= 10
    for command in commands:
        assert "--context" not in command
        outside = re.sub(r"'[^']*'", "", command)
        assert not set('"&;<>*$|`') & set(outside), (
            f"PowerShell or a shell takes it apart: {command}"
        )
        assert "''" not in command, f"PowerShell leaves an empty word out: {command}"
    (place,) = [n for n, cell in enumerate(cells) if cell.source == text]
    assert cells[place + 1].source.startswith("progress("), "it is the last section before that"


def test_a_table_is_read():
    text = HEAD + (
        "| `nats sub 'a.>'` | Leave it running; `#1` and `a\\|b` |\n"
        "| `nats pub 'a b' x` | `invalid`, exit code 1, unlike `nats pub a x` |\n"
    )
    assert terminal.rows(text) == [
        Row("nats sub 'a.>'", ("#1", "a|b"), 0, True),
        Row("nats pub 'a b' x", ("invalid",), 1, False),
    ]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("| nats rtt | `127.0.0.1` |", "in the first column stands one command"),
        ("| `ls` | `n1.conf` |", "in the first column stands one command"),
        ("| `nats rtt` | how long it took |", "the second column quotes a piece"),
    ],
)
def test_a_row_that_cannot_be_typed_or_claims_nothing_is_told(row: str, says: str):
    with pytest.raises(AssertionError, match=says):
        terminal.rows(HEAD + row)


@pytest.fixture
def single(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with labkit.start("single"):
        yield


@needs_nats
def test_rows_that_are_true_are_and_what_is_left_running_hears_the_next(single):
    text = HEAD + (
        "| `nats sub 'a.*'` | Leave it running: `#1` and `#2` |\n"
        "| `nats pub a.b hello --count 2` | `Published 5 bytes` |\n"
        "| `nats pub 'a b' hello` | `invalid subject`, exit code 1 |\n"
    )
    assert terminal.report(text) == terminal.AS_SAID


@needs_nats
@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("| `nats rtt` | `127.0.0.2` |", r"nats rtt: \['127.0.0.2'\] not in its output"),
        ("| `nats pub 'a b' x` | `invalid subject` |", "nats pub 'a b' x: exit code 1, not 0"),
        ("| `nats sub a` | `Subscribing` |", "nats sub a: not over after"),
        ("| `nats sub a` | leave it running: `#1` |", r"nats sub a: \['#1'\] not in its output"),
        ("| `nats rtt` | leave it running: `127` |", "for `nats rtt` to subscribe, in vain"),
    ],
)
def test_the_walk_sees_a_row_that_is_not_true(
    single, monkeypatch: pytest.MonkeyPatch, row: str, says: str
):
    monkeypatch.setattr(terminal, "PATIENCE", 0.5)
    assert re.search(says, terminal.report(HEAD + row))


@needs_nats
def test_a_context_that_is_not_the_labs_is_seen(single):
    assert "exit code 1" in terminal.report(HEAD.replace("select lab", "select lab-9"))
