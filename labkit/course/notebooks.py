"""Notebooks as files: where they are, their normal form, how their outputs are made, how they are stripped.

nbformat is imported where it is needed: it takes a second, and a kernel that only checks an
exercise does without it.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from labkit.course import minutes, slides
from labkit.servers.errors import LabError
from labkit.views.live import STATIC

PACKAGE = Path(__file__).resolve().parent.parent
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
PLACEHOLDER = "pass  # your code here"
CELL_TIMEOUT = 60  # seconds
LARGEST_OUTPUT = 200_000  # bytes a cell
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
IGNORE_OUTPUT = "nbval-ignore-output"
# What a run leaves in an output and the next run leaves otherwise; tests/sanitize.cfg holds the same.
# The ports are those that labkit.servers.ports chooses from; a file's own 127.0.0.1:4222 stays.
VOLATILE = [(re.compile(r"127\.0\.0\.1:(1[5-9]|2\d|3[01])\d{3}\b"), "127.0.0.1:PORT")]
_MACHINE = re.compile(
    r"/home/|/Users/|/root/|/tmp/|/var/folders/|\b[A-Z]:[\\/]|0x[0-9a-f]{8,}"
    r"|\b20\d\d-\d\d-\d\d\b|\b(localhost|port)[: ](1[5-9]|2\d|3[01])\d{3}\b"
)
_NEARLY_A_MARK = re.compile(r"#.*\b(BEGIN|END)[ _-]?SOLUTION", re.IGNORECASE)

Notebook = Any  # nbformat's NotebookNode has no types


class NotebookError(LabError):
    """A notebook that is not there or not as the course needs it."""


def course_folder() -> Path:
    """The folder of the solved course: notebooks/ of the checkout, or its copy in an installed wheel."""
    checkout = PACKAGE.parent / "notebooks"
    return checkout if checkout.is_dir() else PACKAGE / "_course" / "notebooks"


def every_notebook(folder: Path | None = None) -> list[Path]:
    """The notebooks of the course in their order."""
    paths = (folder or course_folder()).rglob("*.ipynb")
    return sorted((p for p in paths if ".ipynb_checkpoints" not in p.parts), key=lambda p: p.name)


def every_program() -> list[Path]:
    """The Python files that stand beside the course's notebooks."""
    folders = sorted({path.parent for path in every_notebook()})
    return [program for folder in folders for program in sorted(folder.glob("*.py"))]


def programs_of(path: Path) -> list[Path]:
    """Those beside this notebook that it names, because it starts them."""
    text = "".join(cell.source for cell in read(path).cells)
    return [program for program in sorted(path.parent.glob("*.py")) if program.name in text]


def number(path: Path) -> str:
    """A notebook's number, the first part of its file name: "11"."""
    return path.stem.partition("-")[0]


def find(wanted: str, folder: Path | None = None) -> Path:
    """The notebook with this number. Raises NotebookError with the numbers that exist."""
    there = {number(path): path for path in every_notebook(folder)}
    if wanted in there:
        return there[wanted]
    near = difflib.get_close_matches(wanted, there, 1)
    raise NotebookError(
        f"there is no notebook {wanted!r}; "
        + (f"did you mean {near[0]!r}? There are: " if near else "there are: ")
        + ", ".join(there)
    )


def read(path: Path) -> Notebook:
    """The notebook in a file. Raises NotebookError where the file holds none."""
    import nbformat

    try:
        return nbformat.read(path, as_version=4)
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise NotebookError(f"{path.name} cannot be read as a notebook: {error}") from None


def write(notebook: Notebook, path: Path) -> None:
    """Write the file whole or not at all."""
    draft = path.with_name(f".{path.name}.new")
    draft.write_text(text_of(notebook), encoding="utf-8", newline="\n")
    draft.replace(path)


def text_of(notebook: Notebook) -> str:
    """The notebook as nbformat writes it, with one newline at the end."""
    import nbformat

    return str(nbformat.writes(notebook, version=4)).rstrip("\n") + "\n"


# --- normal form -------------------------------------------------------------------------------


def normal(notebook: Notebook, prefix: str) -> Notebook:
    """The notebook with nothing in it that a run or an editor leaves: a diff shows what changed.

    `prefix` begins the ids of cells that have none of their own.
    """
    import nbformat

    notebook = nbformat.from_dict(notebook)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    )
    count = 0
    ids: set[str] = set()
    for position, cell in enumerate(notebook.cells, start=1):
        cell.metadata = nbformat.from_dict(
            {k: v for k, v in cell.metadata.items() if k in ("tags", "slideshow")}
        )
        if not cell.get("id") or cell.id in ids or re.fullmatch(r"[0-9a-f]{8}(-.*)?", cell.id):
            cell.id = _new_id(prefix, position, ids | {c.get("id") for c in notebook.cells})
        ids.add(cell.id)
        cell.source = "\n".join(line.rstrip() for line in cell.source.rstrip().split("\n"))
        if position == 1:
            cell.source = _with_minutes(cell.source, prefix)
        if cell.cell_type == "code":
            count += 1
            cell.execution_count = count
            cell.outputs = _normal_outputs(cell.outputs, count)
    return notebook


def _with_minutes(source: str, number: str) -> str:
    """A notebook's first cell, with the minutes that minutes.toml gives it."""
    total = minutes.totals(minutes.read(course_folder())).get(number)
    return minutes.in_header(source, total) if total else source


def _new_id(prefix: str, position: int, taken: set[str]) -> str:
    """An id that tells the cell's place when it was made, and none that is taken."""
    names = (f"{prefix}-{position:03d}{suffix}" for suffix in ["", *"abcdefghijklmnopqrstuvwxyz"])
    return next(name for name in names if name not in taken)


def _normal_outputs(outputs: list[Any], count: int) -> list[Any]:
    import nbformat

    kept: list[Any] = []
    for output in outputs:
        if output.output_type == "execute_result":
            output.execution_count = count
        if "metadata" in output:
            output.metadata = nbformat.from_dict({})
        if output.output_type == "stream":
            output.text = _settled(output.text)
            same = [o for o in kept if o.output_type == "stream" and o.name == output.name]
            if same:
                same[0].text += output.text
                continue
        if output.output_type == "error":
            # The frames above the last line are paths and lines of this machine's libraries.
            output.traceback = [_settled(line) for line in output.traceback[-1:]]
            output.evalue = _settled(output.evalue)
        for kind, value in output.get("data", {}).items():
            if isinstance(value, str) and not kind.startswith("image/png"):
                output.data[kind] = _settled(value)
        kept.append(output)
    return kept


def _settled(text: str) -> str:
    for pattern, replacement in VOLATILE:
        text = pattern.sub(replacement, text)
    return text


def title(path: Path) -> str:
    """A notebook's number and title, as its first cell says them: "11 Publish and subscribe"."""
    heading = read(path).cells[0].source.partition("\n")[0]
    return str(heading).removeprefix("# ").replace(" · ", " ", 1)


def pages() -> dict[Path, str]:
    """The pages beside the course that say minutes, each as minutes.toml has it; none in a wheel."""
    plan, root = minutes.read(course_folder()), course_folder().parent
    titles = {number(path): title(path) for path in every_notebook()}
    readme, sheet = root / "README.md", root / "docs" / "instructor.md"
    found = {}
    if readme.exists():
        found[readme] = minutes.in_readme(readme.read_text("utf-8"), plan)
    if sheet.exists():
        found[sheet] = minutes.in_run_sheet(sheet.read_text("utf-8"), plan, titles)
    return found


def normalize(path: Path) -> bool:
    """Put the file in normal form; whether that changed it."""
    before = path.read_text(encoding="utf-8")
    notebook = normal(read(path), number(path))
    if text_of(notebook) == before:
        return False
    write(notebook, path)
    return True


def problems(path: Path) -> list[str]:
    """What is wrong with a notebook of the course, a line each; none when it may be committed."""
    import nbformat

    notebook = read(path)
    found = []
    if text_of(normal(nbformat.from_dict(notebook), number(path))) != path.read_text("utf-8"):
        found.append("is not in normal form")
    for position, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "code":
            found += [f"cell {position} {problem}" for problem in _cell_problems(cell)]
    try:
        strip(notebook, "its marks")
    except NotebookError as error:
        found.append(str(error))
    return [f"{path.name}: {problem}" for problem in found]


def _cell_problems(cell: Any) -> Iterator[str]:
    import nbformat

    tags = cell.metadata.get("tags", [])
    failed = [o for o in cell.outputs if o.output_type == "error"]
    if failed and "raises-exception" not in tags:
        yield f"holds an error: {failed[0].ename}"
    if "raises-exception" in tags and not failed:
        yield "is tagged raises-exception and raises nothing"
    if cell.execution_count is None:
        yield "was never run"
    text = "".join(nbformat.writes(nbformat.v4.new_notebook(cells=[cell])) if cell.outputs else "")
    if len(text) > LARGEST_OUTPUT:
        yield f"holds more than {LARGEST_OUTPUT:,} bytes"
    for output in cell.outputs:
        machine = _MACHINE.search(_text_in(output))
        if machine:
            yield f"shows what only this machine has: {machine[0]!r}"


def _text_in(output: Any) -> str:
    """All that a person can read in an output."""
    data = output.get("data", {}).items()
    parts = [v for kind, v in data if kind.startswith("text/") or kind == "image/svg+xml"]
    return "\n".join(
        [output.get("text", ""), output.get("evalue", ""), *output.get("traceback", []), *parts]
    )


def is_slides(path: Path) -> bool:
    """Whether a notebook is a lecture: whether its cells say how they stand on slides."""
    return any(map(slides.slide_type, read(path).cells))


# --- running -----------------------------------------------------------------------------------


def run(path: Path) -> None:
    """Run the notebook from the top in a fresh kernel and store its outputs in normal form.

    Outputs of cells tagged nbval-ignore-output are those of this machine and are not stored.
    Raises NotebookError with the cell that failed; the file is then as it was.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    from labkit.course.play import SEED

    notebook = read(path)
    begun: list[int] = []  # positions of cells; the last is the one that runs

    client = NotebookClient(
        notebook,
        on_cell_start=lambda cell, cell_index: begun.append(cell_index + 1),
        timeout=CELL_TIMEOUT,
        kernel_name=KERNEL["name"],
        resources={"metadata": {"path": str(path.parent)}},
    )
    try:
        client.execute(env={**os.environ, STATIC: "1", SEED: "1"})
    except CellExecutionError as error:
        raise NotebookError(f"{path.name}: a cell failed.\n{error}") from None
    except CellTimeoutError:
        raise NotebookError(
            f"{path.name}, cell {begun[-1]}: did not end within {CELL_TIMEOUT} s; "
            "give what it awaits a timeout"
        ) from None
    except DeadKernelError:
        raise NotebookError(f"{path.name}, cell {begun[-1]}: the kernel died") from None
    for cell in notebook.cells:
        if cell.cell_type == "code" and IGNORE_OUTPUT in cell.metadata.get("tags", []):
            cell.outputs = [o for o in cell.outputs if "image/png" in o.get("data", {})]
    write(normal(notebook, number(path)), path)


def main(arguments: list[str]) -> int:
    """`labkit notebooks`: normal form, its check, and the run that makes the stored outputs."""
    parser = argparse.ArgumentParser(
        prog="labkit notebooks",
        description="Put the course's notebooks in normal form, so that a diff shows what changed.",
    )
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 on a problem")
    parser.add_argument(
        "--run", nargs="+", metavar="NN", help="run these from the top first, and store the outputs"
    )
    options = parser.parse_args(arguments)
    for wanted in options.run or []:
        path = find(wanted)
        print(f"running {path.name} …", flush=True)
        run(path)
    if not options.check:
        for path in every_notebook():
            if normalize(path):
                print(f"{path.name}: now in normal form")
        for page, text in pages().items():
            page.write_text(text, encoding="utf-8", newline="\n")
    found = [problem for path in every_notebook() for problem in problems(path)]
    print("\n".join(found) if found else "all notebooks are in normal form")
    if found and options.check:
        print("put them in it with: labkit notebooks", file=sys.stderr)
    return int(bool(found))


# --- stripping ---------------------------------------------------------------------------------


def strip(notebook: Notebook, name: str) -> Notebook:
    """The learner's copy: solutions replaced by a placeholder, outputs and counts gone, notes folded."""
    import nbformat

    notebook = nbformat.from_dict(notebook)
    for position, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "code":
            cell.source = strip_source(cell.source, f"{name}, cell {position}")
            cell.outputs, cell.execution_count = [], None
    slides.fold_notes(notebook)
    return notebook


def strip_source(source: str, where: str) -> str:
    """A cell's source with each solution replaced. Raises NotebookError for marks that do not match."""
    kept: list[str] = []
    inside = False
    for line in source.split("\n"):
        mark = line.strip()
        if mark not in (BEGIN, END) and _NEARLY_A_MARK.search(mark):
            # Taken for a comment, it would put the solution into every learner's copy.
            raise NotebookError(f"{where}: {mark!r} is no mark; those are {BEGIN!r} and {END!r}")
        if mark in (BEGIN, END):
            if inside == (mark == BEGIN):
                raise NotebookError(
                    f"{where}: {mark!r} {'inside a solution' if inside else 'before a BEGIN'}"
                )
            inside = not inside
            if inside:
                kept.append(line[: len(line) - len(line.lstrip())] + PLACEHOLDER)
        elif not inside:
            kept.append(line)
    if inside:
        raise NotebookError(f"{where}: a solution without {END!r}")
    return "\n".join(kept)


def solution_of(source: str) -> str:
    """What stands between the marks of a cell, several solutions one after another."""
    parts = re.findall(rf"^[ \t]*{BEGIN}\n(.*?)\n[ \t]*{END}", source, re.DOTALL | re.MULTILINE)
    return "\n\n".join(parts)
