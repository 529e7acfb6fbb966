"""How long everything takes: `notebooks/minutes.toml`, and the pages that say so.

The file has the minutes of every section of every notebook, a number for each trial. From the
medians come the header of each notebook, the minutes in the README's table, and the run sheet in
docs/instructor.md. `labkit notebooks` writes all three.
"""

from __future__ import annotations

import math
import re
import statistics
import tomllib
from collections.abc import Iterator
from pathlib import Path

FILE = "minutes.toml"
FIRST_HOUR = 9 * 60  # minutes after midnight when hour 1 of the run sheet begins
ARRIVAL = 10  # minutes before it, for notebook 00
HOUR = 60
RUN_SHEET = re.compile(r"(<!-- run sheet.*? -->\n).*?(<!-- end of the run sheet -->)", re.DOTALL)
_HEADER = re.compile(r"^\*\*\d+ minutes\*\*(,? [^·\n]*\w)?", re.MULTILINE)
_README_ROW = re.compile(r"^(\| \[(\d\d) [^|]*\|)[^|]*\|", re.MULTILINE)

Sections = dict[str, float]  # minutes of each section, by its heading
Plan = dict[str, dict[str, Sections]]  # by the notebook's number; then "room" or "home"


def read(course: Path) -> Plan:
    """The median of the trials of every section; empty where the course's folder has no such file."""
    path = course / FILE
    found = tomllib.loads(path.read_text("utf-8")) if path.exists() else {}
    return {
        number: {
            where: {name: statistics.median(trials) for name, trials in sections.items()}
            for where, sections in parts.items()
        }
        for number, parts in found.items()
    }


def totals(plan: Plan) -> dict[str, dict[str, int]]:
    """Whole minutes of each notebook, rounded up: "room" with everybody there, "home" at home."""
    return {
        number: {where: math.ceil(sum(sections.values())) for where, sections in parts.items()}
        for number, parts in plan.items()
    }


def in_words(total: dict[str, int]) -> str:
    """Minutes as a notebook's header says them: "12 minutes, and 13 at home"."""
    room, home = total.get("room"), total.get("home")
    if room and home:
        return f"**{room} minutes**, and {home} at home"
    return f"**{room} minutes**" if room else f"**{home} minutes** at home"


def in_header(source: str, total: dict[str, int]) -> str:
    """A notebook's first cell with these minutes."""
    return _HEADER.sub(in_words(total), source)


def in_readme(text: str, plan: Plan) -> str:
    """The README with the minutes of each notebook in its table."""

    def row(match: re.Match[str]) -> str:
        total = totals(plan).get(match[2], {})
        said = [f"{n}{' at home' * (where == 'home')}" for where, n in total.items()]
        return f"{match[1]} {' + '.join(said)} |"

    return _README_ROW.sub(row, text)


def in_run_sheet(text: str, plan: Plan, titles: dict[str, str]) -> str:
    """The instructor's page with its run sheet made anew; `titles` are the notebooks', by number."""
    table = "\n".join(["| clock | minutes | what |", "|---|---|---|", *_rows(plan, titles)])
    return RUN_SHEET.sub(lambda match: f"{match[1]}{table}\n{match[2]}", text)


def _rows(plan: Plan, titles: dict[str, str]) -> Iterator[str]:
    """A row for each section in the room, and a break after each hour's last one."""
    yield from _notebook_rows(FIRST_HOUR - ARRIVAL, plan["00"]["room"], titles["00"])
    hours = sorted({number[0] for number, parts in plan.items() if "room" in parts} - {"0"})
    for hour in hours:
        begins = FIRST_HOUR + (int(hour) - 1) * HOUR
        at = begins
        for number, parts in plan.items():
            if number[0] == hour and "room" in parts:
                yield from _notebook_rows(at, parts["room"], titles[number])
                at += totals(plan)[number]["room"]
        yield _row(at, begins + HOUR - at, "**Break**, and time to catch up")


def _notebook_rows(at: int, sections: Sections, title: str) -> Iterator[str]:
    past = 0.0
    for name, minutes in sections.items():
        what = f"**{title}** · {name}" if not past else name
        yield _row(at + math.floor(past), minutes, what)
        past += minutes


def _row(at: int, minutes: float, what: str) -> str:
    return f"| {at // 60}:{at % 60:02d} | {minutes:g} | {what} |"
