"""The learner's copies of the course: made, refreshed, reset, and never overwritten once changed."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import nbformat

from labkit import environment
from labkit.course import notebooks, store
from labkit.course.store import HIDDEN
from labkit.servers.credentials import MADE
from labkit.servers.errors import LabError
from labkit.servers.folders import configs_folder

COPIED = "copied.json"  # in the hidden folder: what each copy was when it was made
LAUNCHER = "labkit"  # folder beside the copies, by which `python3 -m labkit` works there
_LAUNCHER_TEXT = '''"""Lets `python3 -m labkit` work in this folder too: it goes on to the checkout.

A folder without __init__.py never stands in the way of a package: `import labkit` passes it over.
"""

import runpy
import sys

sys.path.insert(0, {root!r})
del sys.modules["labkit"]  # this folder
runpy.run_module("labkit", run_name="__main__", alter_sys=True)
'''


class WorkspaceError(LabError):
    """A workspace that cannot be used."""


@dataclass(repr=False)
class Report:
    """What was done to the workspace; shows itself as its lines."""

    folder: Path
    fresh: list[str] = field(default_factory=list)
    refreshed: list[str] = field(default_factory=list)
    outdated: list[str] = field(default_factory=list)
    kept: list[tuple[str, str]] = field(default_factory=list)

    def lines(self) -> list[str]:
        """What a person wants to know, a line each; none when nothing happened."""
        lines = []
        if self.fresh:
            lines.append(f"{_count(self.fresh)} copied to {self.folder}")
        if self.refreshed:
            lines.append(f"{_count(self.refreshed)} that you had not changed brought up to date")
        lines += [
            f"{name} has changed in the course, and you have changed your copy: yours stays. "
            f"For the new one: {_way_to_the_new(name)}"
            for name in self.outdated
        ]
        lines += [
            f"{name} is fresh; your copy is kept as {old}. "
            f"If it is open in JupyterLab: File → Reload {_kind(name)} from Disk"
            for name, old in self.kept
        ]
        return lines

    def __repr__(self) -> str:
        return "\n".join(self.lines())


def _way_to_the_new(name: str) -> str:
    source = notebooks.course_folder() / name
    for path in notebooks.every_notebook():
        if path == source or source in notebooks.programs_of(path):
            return f"{environment.command()} reset {notebooks.number(path)}"
    return f"move yours away and run {environment.command()} lab again"


def _kind(name: str) -> str:
    """What JupyterLab's menu calls such a file."""
    return "Notebook" if name.endswith(".ipynb") else "Python File"


def _count(names: list[str]) -> str:
    return "1 notebook" if len(names) == 1 else f"{len(names)} notebooks"


def default_folder() -> Path:
    """The workspace that this process works in; else workspace/ in the checkout, or in this folder."""
    return store.workspace() or (_checkout() or Path.cwd()) / "workspace"


def _checkout() -> Path | None:
    """The checkout that this labkit runs from; None where it was installed without one."""
    root = Path(environment.ROOT)
    return root if (root / "pyproject.toml").is_file() else None


def prepare(folder: Path) -> Report:
    """Copy the stripped course to `folder`; what the learner changed there stays as it is.

    Raises WorkspaceError when the folder cannot be one.
    """
    folder = _usable(folder)
    copied, report = _load(folder), Report(folder)
    for source in notebooks.every_notebook():
        name = source.relative_to(notebooks.course_folder()).as_posix()
        target = folder / name
        fresh = notebooks.strip(notebooks.read(source), source.name)
        wanted = _fingerprint(fresh)
        before = copied.get(name)
        now = _fingerprint_of(target) if target.exists() else None
        if now == wanted:  # also where the record of it was lost
            copied[name] = wanted
            continue
        if now is None:
            report.fresh.append(name)
        elif before == wanted:
            continue
        elif before == now:
            report.refreshed.append(name)
        else:
            report.outdated.append(name)
            continue
        _write(fresh, target)
        copied[name] = wanted
    _write_launchers(folder)
    report.outdated += _copy_plain_files(folder, copied)
    _save(folder, copied)
    return report


def reset(*numbers: str | int, folder: Path | None = None) -> Report:
    """Fresh copies of these notebooks ("11"); each old copy is kept beside under another name.

    So is each program that such a notebook starts, where the learner changed it. Works on the workspace that this process works in, or on `folder`. Raises NotebookError for a
    number that is not in the course; then nothing is changed.
    """
    sources = [notebooks.find(wanted) for wanted in dict.fromkeys(map(str, numbers))]
    folder = _usable(folder or default_folder())
    copied, report = _load(folder), Report(folder)
    for source in sources:
        name = source.relative_to(notebooks.course_folder()).as_posix()
        target = folder / name
        if target.exists():
            old = _free_name(target)
            target.rename(old)
            report.kept.append((name, old.name))
        else:
            report.fresh.append(name)
        fresh = notebooks.strip(notebooks.read(source), source.name)
        _write(fresh, target)
        copied[name] = _fingerprint(fresh)
        for program in notebooks.programs_of(source):
            _reset_program(program, folder, copied, report)
    _save(folder, copied)
    return report


def _reset_program(source: Path, folder: Path, copied: dict[str, str], report: Report) -> None:
    name = source.relative_to(notebooks.course_folder()).as_posix()
    target, text = folder / name, source.read_bytes()
    if target.exists() and target.read_bytes() != text:
        old = _free_name(target)
        target.rename(old)
        report.kept.append((name, old.name))
    if not target.exists():
        _put(text, target)
    copied[name] = _digest(text)


def _usable(folder: Path) -> Path:
    folder = folder.expanduser().resolve()
    course = notebooks.course_folder()
    if folder == course or course in folder.parents:
        raise WorkspaceError(
            f"{folder} lies inside the course itself; choose a folder of your own with --workspace"
        )
    if folder.exists() and not folder.is_dir():
        raise WorkspaceError(f"{folder} is a file; choose a folder with --workspace")
    try:
        (folder / HIDDEN).mkdir(parents=True, exist_ok=True)
        probe = folder / HIDDEN / f"writable-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise WorkspaceError(
            f"{folder} cannot be written ({error.strerror}); choose another folder with --workspace"
        ) from None
    return folder


def _write(notebook: notebooks.Notebook, target: Path) -> None:
    """Write a copy in the form in which JupyterLab saves it, so that it isn't unsaved when it opens."""
    from ipykernel.ipkernel import IPythonKernel
    from ipykernel.kernelspec import get_kernel_dict

    spec, language = get_kernel_dict(), IPythonKernel.language_info
    kernel = {"display_name": spec["display_name"], "language": "python", "name": "python3"}
    notebook.metadata = nbformat.from_dict({"kernelspec": kernel, "language_info": language})
    _put(notebooks.text_of(notebook).encode(), target)


def _put(data: bytes, target: Path) -> None:
    """Write the file whole or not at all, whoever else writes it at the same moment."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    draft.write_bytes(data)
    draft.replace(target)


def _write_launchers(folder: Path) -> None:
    """Let `python3 -m labkit` work in the folders of the copies, by a Python that has no labkit."""
    root = _checkout()
    if root is None:  # labkit was installed by name
        return
    text = _LAUNCHER_TEXT.format(root=str(root)).encode()
    course = notebooks.course_folder()
    for place in {path.parent.relative_to(course) for path in notebooks.every_notebook()}:
        _put(text, folder / place / LAUNCHER / "__main__.py")


def _free_name(target: Path) -> Path:
    """The first name like 11-publish-subscribe.kept-1.ipynb that is not taken."""
    counter = 1
    while (old := target.with_name(f"{target.stem}.kept-{counter}{target.suffix}")).exists():
        counter += 1
    return old


def _fingerprint(notebook: notebooks.Notebook) -> str:
    """What a learner can change: the cells' kinds and sources. Outputs do not count."""
    cells = [(cell.cell_type, cell.source.rstrip()) for cell in notebook.cells]
    return _digest(json.dumps(cells).encode())


def _fingerprint_of(path: Path) -> str:
    try:
        return _fingerprint(notebooks.read(path))
    except notebooks.NotebookError:
        return "unreadable"  # whatever it is, it is not ours: leave it


def _load(folder: Path) -> dict[str, str]:
    try:
        return dict(json.loads((folder / HIDDEN / COPIED).read_text("utf-8")))
    except (OSError, ValueError):
        return {}


def _save(folder: Path, copied: dict[str, str]) -> None:
    _put(json.dumps(copied, indent=1).encode(), folder / HIDDEN / COPIED)


def _plain_files() -> dict[str, Path]:
    """What is copied as it is, by its name there: programs beside notebooks, and the server files."""
    course, configs = notebooks.course_folder(), configs_folder()
    found = {path.relative_to(course).as_posix(): path for path in notebooks.every_program()}
    for path in sorted(path for path in configs.rglob("*") if path.is_file()):
        if path.parent.name != MADE:  # keys that somebody made there for a run by hand
            found[f"server-configs/{path.relative_to(configs).as_posix()}"] = path
    return found


def _copy_plain_files(folder: Path, copied: dict[str, str]) -> list[str]:
    """The plain files beside the notebooks, for reading and for trying changes.

    Returns the names of those that the course and the learner have both changed; they stay.
    """
    outdated = []
    for name, source in _plain_files().items():
        target, text = folder / name, source.read_bytes()
        wanted, before = _digest(text), copied.get(name)
        now = _digest(target.read_bytes()) if target.exists() else None
        if now not in (None, before, wanted):
            if before != wanted:
                outdated.append(name)
            continue
        if now != wanted:
            _put(text, target)
        copied[name] = wanted
    return outdated


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
