"""Runs notebooks in a real JupyterLab page in a headless Chromium, and takes screenshots to look at.

    python tests/browser/look.py [--notebooks 00 11] [--pictures DIR] [--dark]

Needs a Chromium (Debian: apt install chromium); Playwright it installs for itself, into a folder
beside the pictures. For each notebook of a fresh workspace: Run All Cells, wait until every code
cell has run, save, and read the saved file: a cell without a number or with an error fails.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PAGE_TIMEOUT = 60_000  # milliseconds
RUN_TIMEOUT = 120  # seconds a notebook


def main() -> int:
    options = parse()
    options.pictures.mkdir(parents=True, exist_ok=True)
    install_playwright(options.pictures / ".playwright")
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder) / "workspace"
        lab = subprocess.Popen(
            [sys.executable, "-m", "labkit", "lab", "--no-browser", "--workspace", str(workspace)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert lab.stdout
            url = next(line.strip() for line in lab.stdout if "http://" in line)
            return look(url, workspace, options)
        finally:
            lab.send_signal(signal.SIGTERM)
            lab.wait(20)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--notebooks", nargs="+", default=["00"], metavar="NN")
    parser.add_argument("--pictures", type=Path, default=Path("pictures"), metavar="DIR")
    parser.add_argument("--dark", action="store_true", help="in JupyterLab's dark theme")
    return parser.parse_args()


def install_playwright(folder: Path) -> None:
    """Playwright for Python, into a folder of its own, so that it is no dependency of the kit."""
    if not folder.exists():
        if importlib.util.find_spec("pip"):
            installer = [sys.executable, "-m", "pip", "install"]
        else:  # an environment that uv made
            installer = ["uv", "pip", "install", "--python", sys.executable]
        command = [*installer, "-q", "--target", str(folder), "playwright"]
        subprocess.run(command, check=True)
    sys.path.append(str(folder))


def look(url: str, workspace: Path, options: argparse.Namespace) -> int:
    """Run each notebook in the page; returns how many failed."""
    from playwright.sync_api import sync_playwright  # type: ignore[import-not-found]

    program = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if program is None:
        sys.exit("no Chromium on PATH; on Debian: apt install chromium")
    failed = 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(PAGE_TIMEOUT)
        for number in options.notebooks:
            (path,) = workspace.rglob(f"{number}-*.ipynb")
            address, query = url.partition("/lab/tree/")[0], url.partition("?")[2]
            page.goto(f"{address}/lab/tree/{path.relative_to(workspace)}?{query}&reset")
            page.wait_for_selector(f".lm-TabBar-tab.lm-mod-current >> text={path.name}")
            problems = run_in_page(page, path, options)
            print(f"{path.name}: {'every cell ran' if not problems else '; '.join(problems)}")
            failed += bool(problems)
        browser.close()
    return failed


def run_in_page(page: Any, path: Path, options: argparse.Namespace) -> list[str]:
    """Run All Cells, save, and say what is wrong with the saved file; pictures on the way."""
    page.wait_for_selector(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook .jp-Cell")
    page.wait_for_selector("#jp-main-statusbar >> text=Python 3 (ipykernel) | Idle")
    # Also the light one is chosen: JupyterLab remembers what was chosen before.
    theme, is_light = ("JupyterLab Dark", "false") if options.dark else ("JupyterLab Light", "true")
    page.click(".lm-MenuBar >> text=Settings")
    page.click(".lm-Menu >> text=Theme")
    page.click(f".lm-Menu >> text='{theme}'")
    page.wait_for_selector(f"body[data-jp-theme-light='{is_light}']", state="attached")
    page.click(".lm-MenuBar >> text='Run'")
    page.click(".lm-Menu >> text='Run All Cells'")
    deadline = time.monotonic() + RUN_TIMEOUT
    problems = ["it was not run"]
    while problems and time.monotonic() < deadline:
        page.wait_for_timeout(1000)
        page.keyboard.press("Control+s")
        problems = unfinished(path)
    take_pictures(page, path, options)
    return problems


def unfinished(path: Path) -> list[str]:
    """The code cells of the saved notebook that have not run, or failed."""
    try:
        cells = json.loads(path.read_text("utf-8"))["cells"]
    except ValueError:
        return ["it is being saved at this moment"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    waiting = [
        f"cell {n} did not run" for n, c in enumerate(code, 1) if c["execution_count"] is None
    ]
    errors = [
        f"cell {n} failed: {output['ename']}"
        for n, cell in enumerate(code, 1)
        for output in cell["outputs"]
        if output["output_type"] == "error"
    ]
    return errors + waiting


def take_pictures(page: Any, path: Path, options: argparse.Namespace) -> None:
    """The notebook from its top to its end, a picture a screenful."""
    suffix = "-dark" if options.dark else ""
    scroller = ".jp-NotebookPanel:not(.lm-mod-hidden) .jp-WindowedPanel-outer"
    page.eval_on_selector(scroller, "e => e.scrollTo(0, 0)")
    for number in range(1, 30):
        page.wait_for_timeout(400)
        page.screenshot(path=options.pictures / f"{path.stem}{suffix}-{number:02d}.png")
        at_end = page.eval_on_selector(
            scroller,
            "e => { const y = e.scrollTop; e.scrollBy(0, e.clientHeight - 60);"
            " return e.scrollTop <= y + 1; }",
        )
        if at_end:
            return


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main())
