"""A lecture's page of slides: which notebooks have one, and its address in the JupyterLab that runs."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path

from labkit import environment
from labkit.course import notebooks, store
from labkit.servers.errors import LabError


@dataclass(frozen=True, repr=False)
class Page:
    """Where a lecture's slides are: `url` in full, and `path` on the JupyterLab that shows this cell."""

    url: str
    path: str

    def __repr__(self) -> str:
        return f"The slides are at {self.url}"

    def _repr_html_(self) -> str:
        return f'<a href="{html.escape(self.path)}" target="_blank">Open the slides</a>'


def name(number: str | int) -> str:
    """The lecture with this number, as its path in the course.

    Raises NotebookError for a number that is not in the course, LabError for another notebook's.
    """
    path = notebooks.find(str(number))
    if not notebooks.is_slides(path):
        lectures = filter(notebooks.is_slides, notebooks.every_notebook())
        there = ", ".join(map(notebooks.number, lectures))
        raise LabError(f"{path.name} isn't a lecture, so it has no slides; lectures are: {there}")
    return path.relative_to(notebooks.course_folder()).as_posix()


def slides(number: str | int) -> Page:
    """Where the JupyterLab that runs on this workspace shows a lecture ("10") as slides.

    Raises LabError when none runs, and for a notebook that is no lecture.
    """
    from jupyter_server.serverapp import list_running_servers

    lecture = name(number)
    folder = (store.workspace() or notebooks.course_folder()).resolve()
    for server in list_running_servers():
        root = Path(server["root_dir"]).resolve()
        if folder.is_relative_to(root) and (folder / lecture).is_file():
            page = f"rise/{(folder / lecture).relative_to(root).as_posix()}"
            return Page(server["url"] + page, server["base_url"] + page)
    raise LabError(
        f"no JupyterLab runs on {folder}; in a terminal: {environment.command()} slides {number}"
    )
