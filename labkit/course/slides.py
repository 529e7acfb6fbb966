"""Lectures as slides: what JupyterLab and jupyterlab-rise are told, and the notes in a learner's copy.

The keys, the sizes and the presenter's view are in labextensions/labkit-slides, which JupyterLab
loads beside jupyterlab-rise.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

EXTENSIONS = Path(__file__).resolve().parent / "labextensions"
SETTINGS = {  # of jupyterlab-rise; its page takes them as defaults
    "jupyterlab-rise:plugin": {
        "auto_select": "none",  # labkit-slides chooses the cell
        "center": False,
        "controls": False,
        "slideNumber": "c/t",
        "theme": "white",
        "transition": "none",
    }
}


def jupyter_options() -> list[str]:
    """Command-line options with which JupyterLab finds the extension for slides."""
    return [f"--LabServerApp.extra_labextensions_path={EXTENSIONS}"]


def slide_type(cell: Any) -> str:
    """What a cell's `slideshow` metadata says: "slide", "notes", …; "" where it says nothing."""
    return str(cell.metadata.get("slideshow", {}).get("slide_type", ""))


def fold_notes(notebook: Any) -> None:
    """Fold each of the speaker's notes: a learner sees one line, the presenter's view opens it."""
    for cell in notebook.cells:
        if slide_type(cell) == "notes":
            cell.source = (
                f"<details><summary>For the speaker</summary>\n\n{cell.source}\n\n</details>"
            )
