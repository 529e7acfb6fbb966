"""Notebooks are kept normal, so that a diff shows what changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from labkit.course import notebooks
from labkit.servers.ports import RANGE

SANITIZE = Path(__file__).parent.parent / "sanitize.cfg"


@pytest.mark.parametrize("path", notebooks.every_notebook(), ids=lambda path: path.stem)
def test_every_notebook_is_in_normal_form(path: Path):
    assert notebooks.problems(path) == [], "put it in normal form with: labkit notebooks"


def messy(path: Path) -> Path:
    cell = new_code_cell("x = 1   \n", execution_count=7, id="deadbeef")
    cell.metadata = {"collapsed": True, "tags": ["keep"]}
    cell.outputs = [
        new_output("stream", name="stdout", text="nats://127.0.0.1:20123\n"),
        new_output("stream", name="stdout", text="more\n"),
    ]
    notebook = new_notebook(cells=[new_markdown_cell("# Title"), cell], metadata={"widgets": {}})
    notebooks.write(notebook, path)
    return path


def test_normal_form_removes_what_a_run_leaves(tmp_path: Path):
    path = messy(tmp_path / "77-messy.ipynb")
    assert notebooks.normalize(path)
    cell = notebooks.read(path).cells[1]
    assert (cell.id, cell.source, cell.execution_count) == ("77-002", "x = 1", 1)
    assert cell.metadata == {"tags": ["keep"]}
    assert [o.text for o in cell.outputs] == ["nats://127.0.0.1:PORT\nmore\n"]
    assert not notebooks.normalize(path), "the second time nothing changes"
    assert notebooks.problems(path) == []


def test_a_notebook_out_of_normal_form_is_a_problem(tmp_path: Path):
    assert any("normal form" in p for p in notebooks.problems(messy(tmp_path / "77-messy.ipynb")))


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (
            new_output("error", ename="KeyError", evalue="", traceback=[]),
            "holds an error: KeyError",
        ),
        (new_output("stream", text="/home/ada/x"), "what only this machine has: '/home/'"),
        (new_output("stream", text="<Sub at 0x7f903d9d5f90>"), "what only this machine has"),
        (new_output("stream", text="2026-01-31"), "what only this machine has"),
        (new_output("stream", text=r"in C:\Users\ada"), "what only this machine has"),
        (new_output("stream", text="localhost:20123"), "what only this machine has"),
        (
            new_output("display_data", data={"image/svg+xml": "<svg><!-- /tmp/x --></svg>"}),
            "what only this machine has: '/tmp/'",
        ),
        (new_output("stream", text="x" * 300_000), "more than 200,000 bytes"),
    ],
)
def test_an_output_that_must_not_be_stored_is_a_problem(output, says: str, tmp_path: Path):
    path = tmp_path / "77-x.ipynb"
    notebooks.write(
        new_notebook(cells=[new_code_cell("x", execution_count=1, outputs=[output])]), path
    )
    assert any(says in problem for problem in notebooks.problems(path))


def test_a_stored_error_keeps_its_name_and_nothing_of_this_machine(tmp_path: Path):
    path = tmp_path / "77-x.ipynb"
    failed = new_output(
        "error",
        ename="ConnectError",
        evalue="no server at 127.0.0.1:20123",
        traceback=["File /home/ada/x.py:1", "ConnectError: no server at 127.0.0.1:20123"],
    )
    tagged = {"tags": ["raises-exception"]}
    cell = new_code_cell("x", execution_count=1, outputs=[failed], metadata=tagged)
    notebooks.write(new_notebook(cells=[cell]), path)
    notebooks.normalize(path)
    (output,) = notebooks.read(path).cells[0].outputs
    assert output.evalue == "no server at 127.0.0.1:PORT"
    assert output.traceback == ["ConnectError: no server at 127.0.0.1:PORT"]
    assert notebooks.problems(path) == []


def test_a_cell_that_should_have_raised_is_a_problem(tmp_path: Path):
    path = tmp_path / "77-x.ipynb"
    cell = new_code_cell("x", execution_count=1, metadata={"tags": ["raises-exception"]})
    notebooks.write(new_notebook(cells=[cell]), path)
    assert any("raises nothing" in problem for problem in notebooks.problems(path))


def test_a_mark_that_strips_nothing_is_a_problem(tmp_path: Path):
    path = tmp_path / "77-x.ipynb"
    source = "## BEGIN SOLUTION\nx = 42\n## END SOLUTION"
    notebooks.write(new_notebook(cells=[new_code_cell(source, execution_count=1)]), path)
    assert any("cell 1: '## BEGIN SOLUTION' is no mark" in p for p in notebooks.problems(path))


def test_a_cell_that_was_never_run_is_a_problem(tmp_path: Path):
    path = tmp_path / "77-x.ipynb"
    notebooks.write(new_notebook(cells=[new_code_cell("x")]), path)
    assert any("cell 1 was never run" in problem for problem in notebooks.problems(path))


def test_nbval_and_the_normal_form_know_the_same_volatile_texts():
    lines = SANITIZE.read_text().splitlines()
    pairs = [
        (lines[n].removeprefix("regex: "), lines[n + 1].removeprefix("replace: "))
        for n in range(len(lines))
        if lines[n].startswith("regex: ")
    ]
    assert pairs == [(pattern.pattern, text) for pattern, text in notebooks.VOLATILE]


def test_every_port_that_labkit_chooses_is_sanitized_and_a_well_known_one_is_not():
    pattern, _ = notebooks.VOLATILE[0]
    assert all(pattern.fullmatch(f"127.0.0.1:{port}") for port in RANGE)
    assert not pattern.search("127.0.0.1:4222")


def test_running_a_notebook_stores_its_outputs_in_normal_form(tmp_path: Path):
    path = tmp_path / "77-run.ipynb"
    cells = [new_code_cell("print('hello')"), new_code_cell("1 + 1")]
    notebooks.write(new_notebook(cells=cells), path)
    notebooks.run(path)
    first, second = notebooks.read(path).cells
    assert first.outputs[0].text == "hello\n"
    assert second.outputs[0].data["text/plain"] == "2"
    assert notebooks.problems(path) == []


def test_stored_outputs_are_made_with_views_that_stay_still(tmp_path: Path):
    path = tmp_path / "77-run.ipynb"
    cell = new_code_cell("import os; from labkit.views import live; print(os.environ[live.STATIC])")
    notebooks.write(new_notebook(cells=[cell]), path)
    notebooks.run(path)
    assert notebooks.read(path).cells[0].outputs[0].text == "1\n"


def test_a_notebook_that_fails_keeps_its_file(tmp_path: Path):
    path = tmp_path / "77-fail.ipynb"
    notebooks.write(new_notebook(cells=[new_code_cell("1 / 0")]), path)
    before = path.read_text()
    with pytest.raises(notebooks.NotebookError, match="(?s)77-fail.ipynb: a cell failed.*1 / 0"):
        notebooks.run(path)
    assert path.read_text() == before


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import time; time.sleep(60)", "77-x.ipynb, cell 2: did not end within 1 s"),
        ("import os; os._exit(1)", "77-x.ipynb, cell 2: the kernel died"),
    ],
)
def test_a_cell_that_never_ends_or_ends_the_kernel_is_named(
    source: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(notebooks, "CELL_TIMEOUT", 1)
    path = tmp_path / "77-x.ipynb"
    notebooks.write(new_notebook(cells=[new_markdown_cell("# T"), new_code_cell(source)]), path)
    with pytest.raises(notebooks.NotebookError, match=says):
        notebooks.run(path)


def test_the_command_checks_changes_and_says_what_it_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    path = messy(tmp_path / "77-messy.ipynb")
    monkeypatch.setattr(notebooks, "course_folder", lambda: tmp_path)
    before = path.read_text()
    assert notebooks.main(["--check"]) == 1
    said = capsys.readouterr()
    assert "77-messy.ipynb: is not in normal form" in said.out
    assert "put them in it with: labkit notebooks" in said.err
    assert path.read_text() == before, "--check changes nothing"
    assert notebooks.main([]) == 0
    assert "77-messy.ipynb: now in normal form" in capsys.readouterr().out
    assert notebooks.main(["--check"]) == 0


def test_an_unknown_number_gets_the_near_one():
    with pytest.raises(notebooks.NotebookError, match="no notebook '111'; did you mean '11'"):
        notebooks.find("111")
