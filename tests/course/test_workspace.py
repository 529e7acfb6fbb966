"""The learner's copies: stripped, refreshed, reset, and never lost."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from jupyter_client.manager import start_new_kernel
from jupyter_server.services.contents.largefilemanager import LargeFileManager
from nbformat.v4 import new_code_cell, new_notebook

import labkit
from labkit.course import notebooks, workspace

SOLVED = "# Exercise 9.9\nx = ...\n### BEGIN SOLUTION\nx = 42\n### END SOLUTION\nprint(x)"


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A course of one notebook with one exercise."""
    folder = tmp_path / "course"
    (folder / "1-hour").mkdir(parents=True)
    monkeypatch.setattr(notebooks, "course_folder", lambda: folder)
    put(folder, SOLVED)
    return folder


def put(folder: Path, source: str) -> Path:
    path = folder / "1-hour" / "19-demo.ipynb"
    notebooks.write(new_notebook(cells=[new_code_cell(source, execution_count=3, id="a")]), path)
    return path


def source_in(folder: Path) -> str:
    return notebooks.read(folder / "1-hour" / "19-demo.ipynb").cells[0].source


def test_the_copy_holds_no_solution(course: Path, tmp_path: Path):
    ws = tmp_path / "ws"
    assert workspace.prepare(ws).lines() == [f"1 notebook copied to {ws}"]
    assert source_in(ws) == "# Exercise 9.9\nx = ...\npass  # your code here\nprint(x)"
    assert (ws / "server-configs" / "single" / "n1.conf").is_file()
    assert workspace.prepare(ws).lines() == [], "the second time nothing happens"


def test_an_untouched_copy_follows_the_course(course: Path, tmp_path: Path):
    ws = tmp_path / "ws"
    workspace.prepare(ws)
    put(course, "y = 1")
    assert workspace.prepare(ws).lines() == [
        "1 notebook that you had not changed brought up to date"
    ]
    assert source_in(ws) == "y = 1"


def test_a_run_is_no_change_of_a_copy(course: Path, tmp_path: Path):
    ws = tmp_path / "ws"
    workspace.prepare(ws)
    path = ws / "1-hour" / "19-demo.ipynb"
    notebook = notebooks.read(path)
    notebook.cells[0].execution_count = 5
    notebooks.write(notebook, path)
    put(course, "y = 1")
    workspace.prepare(ws)
    assert source_in(ws) == "y = 1"


def test_what_the_learner_wrote_stays_and_the_way_to_the_new_one_is_told(
    course: Path, tmp_path: Path
):
    ws = tmp_path / "ws"
    workspace.prepare(ws)
    put(ws, "my own")
    assert workspace.prepare(ws).lines() == [], "nothing new in the course: nothing to tell"
    put(course, "y = 1")
    (line,) = workspace.prepare(ws).lines()
    assert "yours stays" in line
    assert line.endswith("labkit reset 19")
    assert source_in(ws) == "my own"


def test_copies_are_as_jupyterlab_saves_them_so_that_none_is_unsaved_when_it_opens(tmp_path: Path):
    ws = tmp_path / "ws"
    workspace.prepare(ws)
    contents = LargeFileManager(root_dir=str(ws))
    for path in notebooks.every_notebook(ws):
        before, name = path.read_bytes(), path.relative_to(ws).as_posix()
        contents.save(contents.get(name, type="notebook"), name)
        assert path.read_bytes() == before, name


def test_copies_say_of_their_kernel_what_jupyterlab_writes_once_it_has_started(
    course: Path, tmp_path: Path
):
    ws = tmp_path / "ws"
    workspace.prepare(ws)
    metadata = notebooks.read(ws / "1-hour" / "19-demo.ipynb").metadata
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        told = client.kernel_info(reply=True, timeout=30)["content"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert metadata.language_info == told["language_info"]
    assert metadata.kernelspec == {
        "display_name": manager.kernel_spec.display_name,
        "language": manager.kernel_spec.language,
        "name": "python3",
    }


def test_a_deleted_copy_comes_back(course: Path, tmp_path: Path):
    ws = tmp_path / "ws"
    workspace.prepare(ws)
    (ws / "1-hour" / "19-demo.ipynb").unlink()
    assert "1 notebook copied" in workspace.prepare(ws).lines()[0]


def test_a_lost_record_does_not_make_untouched_copies_changed_ones(course: Path, tmp_path: Path):
    ws = tmp_path / "ws"
    workspace.prepare(ws)
    (ws / workspace.HIDDEN / workspace.COPIED).unlink()
    assert workspace.prepare(ws).lines() == []
    put(course, "y = 1")
    assert "brought up to date" in workspace.prepare(ws).lines()[0]


def test_a_server_file_follows_the_course_unless_the_learner_changed_it(
    course: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    configs, ws = tmp_path / "configs", tmp_path / "ws"
    source, copy = configs / "demo" / "n1.conf", ws / "server-configs" / "demo" / "n1.conf"
    source.parent.mkdir(parents=True)
    monkeypatch.setattr(workspace, "configs_folder", lambda: configs)
    source.write_text("first")
    workspace.prepare(ws)
    source.write_text("second")
    workspace.prepare(ws)
    assert copy.read_text() == "second"
    copy.write_text("my own")
    assert workspace.prepare(ws).lines() == [], "nothing new in the course: nothing to tell"
    source.write_text("third")
    (line,) = workspace.prepare(ws).lines()
    assert line.startswith("server-configs/demo/n1.conf has changed in the course")
    assert re.search("move yours away and run .*labkit lab again$", line)
    assert copy.read_text() == "my own"
    copy.unlink()
    assert workspace.prepare(ws).lines() == []
    assert copy.read_text() == "third"


def program(folder: Path, text: str) -> Path:
    """A program beside the notebook 19, which starts it."""
    put(folder, 'lab.run("served.py")')
    path = folder / "1-hour" / "served.py"
    path.write_text(text)
    return path


def test_a_program_beside_a_notebook_follows_the_course_unless_the_learner_changed_it(
    course: Path, tmp_path: Path
):
    ws = tmp_path / "ws"
    copy = ws / "1-hour" / "served.py"
    program(course, "first")
    workspace.prepare(ws)
    assert copy.read_text() == "first"
    program(course, "second")
    workspace.prepare(ws)
    assert copy.read_text() == "second"
    copy.write_text("my own")
    assert workspace.prepare(ws).lines() == [], "nothing new in the course: nothing to tell"
    program(course, "third")
    (line,) = workspace.prepare(ws).lines()
    assert line.startswith("1-hour/served.py has changed in the course")
    assert line.endswith("labkit reset 19")
    assert copy.read_text() == "my own"


def test_reset_gives_the_programs_of_the_notebook_too_and_keeps_a_changed_one(
    course: Path, tmp_path: Path
):
    ws = tmp_path / "ws"
    copy = ws / "1-hour" / "served.py"
    program(course, "first")
    (course / "1-hour" / "other.py").write_text("no notebook starts it")
    workspace.prepare(ws)
    assert [name for name, _ in workspace.reset("19", folder=ws).kept] == ["1-hour/19-demo.ipynb"]
    copy.write_text("my own")
    copy.with_name("other.py").write_text("my own too")
    *_, line = workspace.reset("19", folder=ws).lines()
    assert line.startswith("1-hour/served.py is fresh; your copy is kept as served.kept-1.py")
    assert line.endswith("File → Reload Python File from Disk")
    assert copy.read_text() == "first"
    assert copy.with_name("served.kept-1.py").read_text() == "my own"
    assert copy.with_name("other.py").read_text() == "my own too"
    copy.unlink()
    workspace.reset("19", folder=ws)
    assert copy.read_text() == "first"


def test_the_favourites_service_comes_with_the_notebooks_of_its_hour(tmp_path: Path):
    workspace.prepare(tmp_path / "ws")
    copy = tmp_path / "ws" / "2-microservices" / "favourites.py"
    (source,) = [path for path in notebooks.every_program() if path.name == copy.name]
    assert copy.read_bytes() == source.read_bytes()
    assert source in notebooks.programs_of(notebooks.find("21"))


def test_a_fresh_copy_is_given_in_a_cell_too(course: Path, tmp_path: Path, monkeypatch):
    ws = tmp_path / "ws"
    workspace.prepare(ws)
    monkeypatch.chdir(ws / "1-hour")  # where a kernel of that notebook runs
    assert "your copy is kept as 19-demo.kept-1.ipynb" in repr(labkit.reset("19"))
    assert (ws / "1-hour" / "19-demo.kept-1.ipynb").exists()


def test_a_folder_by_which_labkit_runs_there_hides_no_package(course: Path, tmp_path: Path):
    ws = tmp_path / "ws"
    workspace.prepare(ws)
    (launcher,) = ws.rglob(f"{workspace.LAUNCHER}/__main__.py")
    where = launcher.parent.parent  # a kernel starts with its notebook's folder first on its path
    code = "import sys; sys.path.insert(0, ''); import labkit; print(labkit.__file__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=where, capture_output=True, text=True)
    assert Path(done.stdout.strip()) == Path(labkit.__file__), done.stderr


def test_two_first_runs_at_once_both_end_well(tmp_path: Path):
    ws = tmp_path / "ws"
    code = f"from pathlib import Path; from labkit.course import workspace; workspace.prepare(Path({str(ws)!r}))"
    both = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in "ab"]
    assert [process.communicate()[1] for process in both] == [b"", b""]
    assert len(notebooks.every_notebook(ws)) == len(notebooks.every_notebook())
    assert not list(ws.rglob(".*.ipynb.*")), "no draft is left"


def test_a_number_given_twice_is_reset_once(course: Path, tmp_path: Path):
    ws = tmp_path / "ws"
    workspace.prepare(ws)
    assert len(workspace.reset("19", 19, "19", folder=ws).kept) == 1


def test_a_broken_copy_is_left_alone(course: Path, tmp_path: Path):
    ws = tmp_path / "ws"
    workspace.prepare(ws)
    (ws / "1-hour" / "19-demo.ipynb").write_text("{ not a notebook")
    put(course, "y = 1")
    assert "yours stays" in workspace.prepare(ws).lines()[0]


def test_reset_gives_a_fresh_copy_and_keeps_every_old_one(course: Path, tmp_path: Path):
    ws = tmp_path / "ws"
    workspace.prepare(ws)
    for text, kept in [("first", "19-demo.kept-1.ipynb"), ("second", "19-demo.kept-2.ipynb")]:
        put(ws, text)
        (line,) = workspace.reset("19", folder=ws).lines()
        assert line.startswith(f"1-hour/19-demo.ipynb is fresh; your copy is kept as {kept}")
        assert line.endswith("If it is open in JupyterLab: File → Reload Notebook from Disk")
        assert notebooks.read(ws / "1-hour" / kept).cells[0].source == text
        assert "your code here" in source_in(ws)


def test_reset_of_an_unknown_number_changes_nothing(course: Path, tmp_path: Path):
    ws = tmp_path / "ws"
    workspace.prepare(ws)
    put(ws, "my own")
    with pytest.raises(notebooks.NotebookError, match="no notebook '20'.*there are: 19"):
        workspace.reset("19", "20", folder=ws)
    assert source_in(ws) == "my own"


def test_a_workspace_that_is_a_file_is_told(course: Path, tmp_path: Path):
    (tmp_path / "ws").write_text("")
    with pytest.raises(
        workspace.WorkspaceError, match="is a file; choose a folder with --workspace"
    ):
        workspace.prepare(tmp_path / "ws")


def test_a_workspace_inside_the_course_is_refused(course: Path):
    with pytest.raises(workspace.WorkspaceError, match="lies inside the course itself"):
        workspace.prepare(course / "mine")


def test_a_workspace_that_cannot_be_written_is_told(course: Path, tmp_path: Path):
    (tmp_path / "ws").mkdir()
    (tmp_path / "ws" / workspace.HIDDEN).touch()  # as where writing is forbidden, also for root
    with pytest.raises(workspace.WorkspaceError, match="cannot be written.*--workspace"):
        workspace.prepare(tmp_path / "ws")


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("### BEGIN SOLUTION\nx", "a solution without '### END SOLUTION'"),
        ("x\n### END SOLUTION", "'### END SOLUTION' before a BEGIN"),
        ("### BEGIN SOLUTION\n### BEGIN SOLUTION", "'### BEGIN SOLUTION' inside a solution"),
        ("## BEGIN SOLUTION\nx", "'## BEGIN SOLUTION' is no mark; those are '### BEGIN SOLUTION'"),
        ("### Begin solution:\nx", "'### Begin solution:' is no mark"),
    ],
)
def test_marks_that_do_not_match_are_told_with_their_place(source: str, says: str):
    with pytest.raises(notebooks.NotebookError, match=f"demo, cell 3: {says}"):
        notebooks.strip_source(source, "demo, cell 3")


def test_an_indented_solution_leaves_valid_python():
    source = "def f():\n    ### BEGIN SOLUTION\n    return 1\n    ### END SOLUTION\n"
    stripped = notebooks.strip_source(source, "x")
    assert stripped == "def f():\n    pass  # your code here\n"
    compile(stripped, "x", "exec")
