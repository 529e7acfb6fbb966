"""A replay in a real Chromium: the dots move along the lines, at the speed that the control says."""

from __future__ import annotations

from pathlib import Path

import pytest

import labkit
from labkit.views import live
from labkit.views.trace import Event, Trace
from tests.browser import chromium

pytestmark = pytest.mark.skipif(chromium.program() is None, reason="no Chromium on PATH")

AT = "2026-01-01T00:00:00Z"
WAY = [
    Event("n1", "", "ingress", "CLIENT", "ada", None, "a", None, None, AT, 1),
    Event("n1", "", "egress", "ROUTER", "n2", None, None, "1", None, AT, 2),
    Event("n2", "1", "ingress", "ROUTER", "n1", None, "a", None, None, AT, 3),
    Event("n2", "1", "egress", "CLIENT", "bob", None, "a", None, None, AT, 4),
]
STOP_AT = """(() => {
  const drawing = document.querySelector("svg");
  drawing.pauseAnimations();
  drawing.setCurrentTime(%s);
})()"""
DOTS = """(() => {
  return [...document.querySelectorAll("circle:has(animateMotion)")].map((dot) => {
    const box = dot.getBoundingClientRect();
    return [getComputedStyle(dot).opacity === "1", box.x + box.width / 2, box.y + box.height / 2];
  });
})()"""
LENGTHS = '[...document.querySelectorAll("animateMotion")].map((part) => part.getAttribute("dur"))'
FASTER = """(() => {
  const control = document.querySelector("input");
  control.value = 1;
  control.dispatchEvent(new Event("input"));
})()"""


def dots(page: chromium.Page, moment: float) -> list[tuple[bool, float, float]]:
    """Whether each dot is seen at this moment of the replay, and where it is."""
    page.evaluate(STOP_AT % moment)
    page.settle()
    seen: list[tuple[bool, float, float]] = page.evaluate(DOTS)
    return seen


def test_a_dot_travels_leg_by_leg_and_the_control_changes_its_speed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(live, "moves", lambda: True)
    with labkit.start("cluster") as lab:
        replay = labkit.replay(Trace("a", WAY), lab)
    page = tmp_path / "replay.html"
    page.write_text(replay._repr_mimebundle_()["text/html"], "utf-8")
    with chromium.Browser(tmp_path / "profile") as browser:
        shown = browser.open(page.as_uri(), 1000, 600)
        shown.wait_for("!!document.querySelector('svg')", 10, "the picture")
        at = {moment: dots(shown, moment) for moment in (0.1, 0.8, 1.0, 1.7, 1.9, 2.6)}
        for number, (early, late) in enumerate(((0.1, 0.8), (1.0, 1.7), (1.9, 2.6))):
            for moment in (early, late):
                assert [seen for seen, _, _ in at[moment]] == [n == number for n in range(3)]
            assert at[early][number] != at[late][number], "it moves"
        assert not any(seen for seen, _, _ in dots(shown, replay.length - 0.1))
        shown.evaluate(FASTER)
        assert set(shown.evaluate(LENGTHS)) == {f"{replay.length / 2:g}s"}
        assert shown.evaluate("document.querySelector('svg').animationsPaused()")
        shown.evaluate("document.querySelector('button').click()")
        assert not shown.evaluate("document.querySelector('svg').animationsPaused()")
