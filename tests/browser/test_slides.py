"""Every slide of every lecture, in a real Chromium with all its cells run, is one to project.

The lecture is presented with the keys alone, as an instructor would: what the keys do, when an
answer comes up and what the presenter's view says is seen on the way. Skipped without a Chromium.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labkit.course import notebooks, slides
from tests.browser import chromium

SIZES = ((1280, 720), (1920, 1080))
SMALLEST_TEXT, SMALLEST_CODE = 24, 20  # pixels
SMALLEST_LETTER = 16  # pixels, in a picture
LONGEST = 5.0  # seconds that a cell may take without a word about it
RUN_TIMEOUT = 30.0  # seconds a cell
PICTURES = os.environ.get("LABKIT_PICTURES")  # a folder for a picture of every slide, to look at
LECTURES = [path for path in notebooks.every_notebook() if notebooks.is_slides(path)]
pytestmark = pytest.mark.skipif(chromium.program() is None, reason="no Chromium on PATH")

# What is on the slide: its texts with their boxes and sizes, its pictures, what is said at its end.
MEASURE = """(() => {
  const slide = document.querySelector(".slides section.present:not(.stack)");
  const box = (r) => [r.left, r.top, r.right, r.bottom];
  const texts = [], pictures = [];
  const walker = document.createTreeWalker(slide, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode()); ) {
    const parent = node.parentElement;
    if (!node.textContent.trim() || !parent.checkVisibility({visibilityProperty: true})) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const rects = [...range.getClientRects()].filter((r) => r.width && r.height);
    if (!rects.length) continue;
    const code = !!parent.closest("pre, code, .cm-editor");
    texts.push({
      text: node.textContent.trim().slice(0, 60), code,
      size: parseFloat(getComputedStyle(parent).fontSize), boxes: rects.map(box),
    });
  }
  for (const picture of slide.querySelectorAll("svg, img")) {
    if (!picture.checkVisibility()) continue;
    const rect = picture.getBoundingClientRect();
    const source = picture.localName === "svg" ? picture.outerHTML
      : decodeURIComponent(picture.src.replace(/^data:[^,]*,/, ""));
    const [, , wide, high] = (/viewBox="([^"]+)"/.exec(source)?.[1] ?? "0 0 0 0").split(" ");
    const scale = Math.min(rect.width / wide, rect.height / high);
    const letters = [...source.matchAll(/font-size="([\\d.]+)"/g)].map((m) => m[1] * scale);
    pictures.push({box: box(rect), letters});
  }
  const inner = slide.getBoundingClientRect(), style = getComputedStyle(slide);
  const number = document.querySelector(".slide-number").getBoundingClientRect();
  return {
    texts, pictures, number: box(number),
    room: [inner.left + parseFloat(style.paddingLeft) - 1, 0,
           inner.right - parseFloat(style.paddingRight) + 1, innerHeight],
    title: slide.querySelector("h1, h2")?.textContent.replace("¶", "") ?? slide.id,
    page: document.body.innerText,
  };
})()"""
SLIDE = 'document.querySelector(".slides section.present:not(.stack)")'
WAITING = f'[...{SLIDE}.querySelectorAll(".labkit-waiting")].some((c) => c.offsetParent)'
HIDDEN = f'{SLIDE}.querySelectorAll(".fragment:not(.visible)").length'
OUTPUTS = f"""[...{SLIDE}.querySelectorAll(".jp-OutputArea-output")].filter(
  (output) => output.offsetParent && output.checkVisibility()).length"""
PLACE = f"{SLIDE}.id"
STACKS = 'document.querySelectorAll(".slides > section").length'
SLIDES = 'document.querySelectorAll(".slides > section > section").length'
IDLE = '!document.querySelector(".labkit-running")'
READY = 'document.body.classList.contains("labkit-slides")'
SMALL = """{
 "nbformat": 4, "nbformat_minor": 5,
 "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
 "cells": [
  {"cell_type": "code", "id": "a", "source": "ready = tell_me", "outputs": [],
   "execution_count": null, "metadata": {"slideshow": {"slide_type": "skip"}}},
  {"cell_type": "code", "id": "b", "source": "print('shown')", "execution_count": 1,
   "outputs": [{"output_type": "stream", "name": "stdout", "text": "an old answer"}],
   "metadata": {"slideshow": {"slide_type": "slide"}}}
 ]
}"""


class Room:
    """`labkit slides` as it runs, and a browser that shows it."""

    def __init__(self, url: str, workspace: Path, browser: chromium.Browser) -> None:
        self.url, self.workspace, self.browser = url, workspace, browser

    def present(self, path: str) -> chromium.Page:
        """The slides of this notebook of the workspace, ready for the first key."""
        address, _, token = self.url.partition("?")
        url = f"{address.partition('/rise/')[0]}/rise/{path}?{token}"
        page = self.browser.open(url, *SIZES[0])
        page.wait_for(f"document.body && {READY}", 60, f"the slides of {path}")
        return page

    def presenter(self, page: chromium.Page) -> chromium.Page:
        """The presenter's view, opened with its key."""
        before = {target["targetId"] for target in self.browser.targets()}
        page.press("t")
        page.settle()
        new = [t for t in self.browser.targets() if t["targetId"] not in before]
        views = [t for t in new if t["title"] == "Presenter's view"]
        assert len(views) == 1
        return self.browser.page(views[0]["targetId"])


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    folder = tmp_path_factory.mktemp("slides")
    number = notebooks.number(LECTURES[0])
    options = ["slides", number, "--no-browser", "--workspace", str(folder / "workspace")]
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "labkit", *options], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        url = next(line.strip() for line in process.stdout if "http://" in line)
        with chromium.Browser(folder / "profile") as browser:
            yield Room(url, folder / "workspace", browser)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def run(page: chromium.Page) -> None:
    """Press the key that runs the slide's cell, and wait until it has run."""
    page.press("Enter", shift=True)
    page.settle()
    page.wait_for(IDLE, RUN_TIMEOUT, "the cell of this slide")


def show_all(page: chromium.Page) -> None:
    """Run the slide's cells and bring up its answers, in the order in which they stand."""
    place = page.evaluate(PLACE)
    while page.evaluate(WAITING) or page.evaluate(HIDDEN):
        if page.evaluate(WAITING):
            assert not page.evaluate(OUTPUTS), f"{place}: an output before its cell ran"
            began = time.monotonic()
            run(page)
            took = time.monotonic() - began
            assert not page.evaluate(WAITING), f"{place}: its cell failed"
            assert took < LONGEST or "seconds" in page.evaluate(f"{SLIDE}.innerText"), (
                f"{place}: its cell takes {took:.1f} s, and the slide doesn't say so"
            )
        else:
            page.press("Space")
            page.settle()
        assert page.evaluate(PLACE) == place, "the slide must stay until its answers are shown"


def problems(page: chromium.Page, width: int, height: int) -> list[str]:
    """What of this slide would not be seen in a room, at this size of the window."""
    page.resize(width, height)
    seen = page.evaluate(MEASURE)
    where = f"{seen['title']!r} at {width}×{height}"
    found = ["“Click to add a cell.”"] if "Click to add" in seen["page"] else []
    found += [f"{t['text']!r} is cut off" for t in seen["texts"] if not inside(seen["room"], t)]
    found += [f"{t['text']!r} stands on the number" for t in seen["texts"] if on(seen["number"], t)]
    for text in seen["texts"]:
        smallest = SMALLEST_CODE if text["code"] else SMALLEST_TEXT
        if text["size"] < smallest * height / 720:
            found.append(f"{text['text']!r} has {text['size']:.1f} pixels")
    for picture in seen["pictures"]:
        if not inside(seen["room"], {"boxes": [picture["box"]]}):
            found.append("a picture is cut off")
        if min(picture["letters"], default=SMALLEST_LETTER) < SMALLEST_LETTER:
            found.append(f"a picture's letters have {min(picture['letters']):.1f} pixels")
    return [f"{where}: {problem}" for problem in found]


def inside(room: list[float], thing: dict[str, Any]) -> bool:
    return all(
        room[0] <= left and room[1] <= top and right <= room[2] and bottom <= room[3]
        for left, top, right, bottom in thing["boxes"]
    )


def on(number: list[float], thing: dict[str, Any]) -> bool:
    return any(
        left < number[2] and right > number[0] and top < number[3] and bottom > number[1]
        for left, top, right, bottom in thing["boxes"]
    )


def first_words(note: str) -> str:
    """The beginning of a note as it reads when rendered."""
    return re.sub(r"[*`]", "", note.splitlines()[0])[:40]


@pytest.mark.parametrize("path", LECTURES, ids=lambda path: path.stem[:2])
def test_every_slide_fits_with_its_outputs_and_the_answer_waits_for_the_run(path: Path, room: Room):
    page = room.present(path.relative_to(notebooks.course_folder()).as_posix())
    view = room.presenter(page)
    run(page)  # on the first slide: the hidden cells
    told, found = [], []
    for number in range(page.evaluate(SLIDES)):
        if number:
            page.press("Space")
            page.settle()
        show_all(page)
        for width, height in SIZES:
            found += problems(page, width, height)
            if PICTURES:
                page.picture(
                    Path(PICTURES) / f"{path.stem[:2]}-{page.evaluate(PLACE)}-{height}.png"
                )
        told.append(view.evaluate("document.body.innerText"))
    assert not found, "\n".join(found)
    cells = notebooks.read(path).cells
    for note in [cell.source for cell in cells if slides.slide_type(cell) == "notes"]:
        shown = [text.count(first_words(note)) for text in told]
        assert max(shown) == 1, f"{first_words(note)!r} is shown {max(shown)} times"


@pytest.fixture(scope="module")
def small(room: Room) -> chromium.Page:
    """The slides of a lecture of two cells: a hidden one that fails, and one with an old output."""
    (room.workspace / "small.ipynb").write_text(SMALL, "utf-8")
    return room.present("small.ipynb")


def test_the_keys_for_first_and_last_slide_a_black_screen_and_the_full_screen(room: Room):
    page = room.present(LECTURES[0].relative_to(notebooks.course_folder()).as_posix())
    where = f'[...document.querySelectorAll(".slides > section")].indexOf({SLIDE}.parentElement)'
    first = page.evaluate(where)
    page.press("End")
    page.wait_for(f"{where} === {STACKS} - 1", 5, "the last slide")
    page.press("Home")
    page.wait_for(f"{where} === {first}", 5, "the first slide")
    black = 'document.querySelector(".reveal").classList.contains("paused")'
    for there in (True, False):
        page.press("b")
        page.wait_for(f"{black} === {str(there).lower()}", 5, "the black screen")
        page.press("f")
        page.wait_for(f"!!document.fullscreenElement === {str(there).lower()}", 5, "full screen")


def test_an_output_that_was_stored_before_waits_for_its_run(small: chromium.Page):
    assert "print" in small.evaluate("document.body.innerText")
    assert "an old answer" not in small.evaluate("document.body.innerText")


def test_keys_that_would_change_the_notebook_do_nothing_on_a_slide(small: chromium.Page):
    sources = '[...document.querySelectorAll(".jp-Cell .cm-content")].map((c) => c.textContent)'
    before = small.evaluate(sources)
    for key in "ddxavzm":
        small.press(key)
    small.settle()
    assert small.evaluate(sources) == before == ["ready = tell_me", "print('shown')"]


def test_a_cell_can_be_edited_where_it_stands(small: chromium.Page):
    small.press("Enter")
    for key in ("Home", "x", "Space", "b"):
        small.press(key)
    assert small.evaluate("document.activeElement.textContent") == "x bprint('shown')"


def test_a_hidden_cell_that_fails_is_told_and_the_next_cell_does_not_run(small: chromium.Page):
    run(small)
    told = small.evaluate('document.getElementById("labkit-tells").textContent')
    assert told == "a cell before this one failed: NameError: name 'tell_me' is not defined"
    assert not small.evaluate(OUTPUTS)
