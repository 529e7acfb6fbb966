"""Pictures of a record: `timeline` (who sent and received what, when), `gaps` and `latency`.

Drawn with matplotlib in the course's style (`plots`). Shapes, dashes and hatches repeat what the
colours say.
"""

from __future__ import annotations

import bisect
import functools
import io
import itertools
import math
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit.servers.events import Event
from labkit.views.plots import PALETTE, PLOTS, TEXT
from labkit.views.readable import many, short
from labkit.views.record import Entry, Mark, Record, RecordError, when

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKS: dict[str, dict[str, Any]] = {
    "breaks": {"color": "#d55e00", "linestyle": (0, (4, 2)), "sign": "✖ "},
    "mends": {"color": "#00a078", "linestyle": "solid", "sign": "▲ "},
    "note": {"color": TEXT, "linestyle": "dotted", "sign": ""},
}
MOST_ARROWS = 3000
WIDTH = 9.0  # inches
LANE, MANY_LANES, LOW_LANE = 0.55, 12, 0.28  # inches of a lane, and of one among more than twelve
MARK_LINE = 11.0  # points from one row of marks' words to the next
MARK_LETTER = 0.075  # inches, of their words
MOST_MARK_LINES = 20
DPI = 100
PERCENTILES = (50.0, 99.0, 99.9)
SLACK = 5.0  # times its usual pause: a gap, unless said otherwise
SHORTEST_GAP = 0.05  # seconds; shorter ones are the machine's own


class Plot:
    """A picture for a notebook: shows itself as PNG, and as one line where there are no pictures."""

    def __repr__(self) -> str:
        raise NotImplementedError

    def _draw(self) -> Figure:
        raise NotImplementedError

    @functools.cached_property
    def figure(self) -> Figure:
        """The matplotlib figure, drawn when first asked for."""
        from matplotlib import style

        with style.context(PLOTS):
            return self._draw()

    def save(self, path: str | Path) -> None:
        """Write the picture to a file; its suffix says the format (.png, .svg, .pdf)."""
        self._write(path)

    def _write(self, file: Any, **options: Any) -> None:
        with warnings.catch_warnings():  # a letter that no font has is drawn as a box: that will do
            warnings.filterwarnings("ignore", "Glyph .* missing from font")
            self.figure.savefig(file, transparent=True, **options)

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self._write(buffer, format="png", dpi=DPI)
        return buffer.getvalue()


class _OverTime(Plot):
    """A picture with a lane for each client, and time, since the record's first message, to the right."""

    def __init__(self, record: Record, events: Iterable[Event]) -> None:
        self._first, self._last = record.span()
        self.marks = record.marks(events)
        self.unit, self._per_unit = ("s", 1e9) if self._last - self._first > 2e9 else ("ms", 1e6)

    def at(self, time_ns: int) -> float:
        """Where a moment is on the time axis."""
        return (time_ns - self._first) / self._per_unit

    def _lanes(self, names: Sequence[str]) -> tuple[Figure, Axes]:
        rows = self._rows_of_marks()
        lane = LANE if len(names) <= MANY_LANES else LOW_LANE
        figure, axes = _figure(1.1 + lane * len(names) + 0.16 * (max(rows, default=-1) + 1))
        axes.set_yticks(range(len(names)), [short(name, 24) for name in names], parse_math=False)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        for lane in range(len(names)):
            axes.axhline(lane, color=TEXT, linewidth=0.6, alpha=0.6, zorder=0)
        axes.set_xlabel(f"{self.unit} since the first message")
        for mark, row in zip(self.marks, rows, strict=True):
            _draw_mark(axes, mark, self.at(mark.time_ns), row)
        return figure, axes

    def _rows_of_marks(self) -> list[int]:
        """The row above the picture in which each mark's words have room beside those before it."""
        times = [self._first, self._last, *(mark.time_ns for mark in self.marks)]
        inches = 0.85 * WIDTH / max(max(times) - min(times), 1)
        free_from = [-math.inf] * MOST_MARK_LINES
        rows = []
        for mark in self.marks:
            middle, half = mark.time_ns * inches, MARK_LETTER * (len(_words_of(mark)) + 1) / 2
            fitting = (n for n, free in enumerate(free_from) if free <= middle - half)
            row = next(fitting, free_from.index(min(free_from)))
            free_from[row] = middle + half
            rows.append(row)
        return rows


class Timeline(_OverTime):
    """See `timeline`."""

    def __init__(self, record: Record, events: Iterable[Event]) -> None:
        super().__init__(record, events)
        self.who = record.who()
        self.pairs = record.pairs()
        matched = {id(entry) for pair in self.pairs for entry in pair}
        lonely = [entry for entry in record.entries if id(entry) not in matched]
        self.unheard = [entry for entry in lonely if entry.what == "sent"]
        self.from_elsewhere = [entry for entry in lonely if entry.what == "received"]

    def __repr__(self) -> str:
        return (
            f"timeline: {', '.join(self.who)}; {many(len(self.pairs), 'arrow')}, "
            f"{len(self.unheard):,} sent and not seen to arrive, {many(len(self.marks), 'mark')}"
        )

    def _draw(self) -> Figure:
        figure, axes = self._lanes(self.who)
        step = math.ceil(len(self.pairs) / MOST_ARROWS) or 1
        self._arrows(axes, self.pairs[::step])
        self._points(axes, "sent", [sent for sent, _ in self.pairs], "o", filled=True)
        for marker, heads in itertools.groupby(sorted(self.pairs, key=self._head), key=self._head):
            self._points(axes, "received", [got for _, got in heads], marker, filled=True)
        self._points(axes, "sent, not seen to arrive", self.unheard, "X", filled=True)
        self._points(axes, "received, sender not recorded", self.from_elsewhere, "o", filled=False)
        if step > 1:
            axes.set_title(f"one arrow of {step} is drawn", fontsize=9, loc="right")
        _legend(axes)
        return figure

    def _head(self, pair: tuple[Entry, Entry]) -> str:
        """The shape at an arrow's end: it points the way the message went."""
        down = self.who.index(pair[1].who) - self.who.index(pair[0].who)
        return "v" if down > 0 else "^" if down < 0 else "D"

    def _arrows(self, axes: Axes, pairs: list[tuple[Entry, Entry]]) -> None:
        from matplotlib.collections import LineCollection

        lines = [[self._place(sent), self._place(got)] for sent, got in pairs]
        colours = [self._colour(sent.who) for sent, _ in pairs]
        alpha = 0.9 if len(pairs) < 100 else 0.35
        arrows = LineCollection(lines, colors=colours, linewidths=1.0, alpha=alpha, zorder=1)
        arrows.set_gid("arrows")
        axes.add_collection(arrows)

    def _points(
        self, axes: Axes, label: str, entries: list[Entry], marker: str, *, filled: bool
    ) -> None:
        if not entries:
            return
        places = [self._place(entry) for entry in entries]
        colours = [self._colour(entry.who) for entry in entries]
        points = axes.scatter(
            [x for x, _ in places],
            [y for _, y in places],
            s=(26 if len(entries) < 300 else 9) * (2 if marker == "X" else 1),
            marker=marker,
            facecolors=colours if filled else "none",
            edgecolors=colours,
            linewidths=0.9,
            label=label,
            zorder=2,
        )
        points.set_gid(label)

    def _place(self, entry: Entry) -> tuple[float, int]:
        return self.at(entry.time_ns), self.who.index(entry.who)

    def _colour(self, who: str) -> str:
        return PALETTE[self.who.index(who) % len(PALETTE)]


class Gaps(_OverTime):
    """See `gaps`."""

    def __init__(self, record: Record, events: Iterable[Event], longer_than: float | None) -> None:
        super().__init__(record, events)
        self.received = _receptions(record)
        if not self.received:
            raise RecordError("nobody received anything in this record; record the receivers too")
        self.expected = {
            who: longer_than if longer_than is not None else _expected(times)
            for who, times in self.received.items()
        }
        self._gaps = [
            (who, began, ended)
            for who, times in self.received.items()
            for began, ended in _silences(times, _sends_to(who, record), self.expected[who])
        ]

    def frame(self) -> pd.DataFrame:
        """A row a gap, in time order.

        Columns: `who`, `began` and `ended` (UTC: the messages before and after it), `seconds`,
        `expected` (seconds: the longest pause that is no gap), `marks` (what was done
        meanwhile, or just before).
        """
        import pandas as pd

        rows = [
            (who, when(a), when(b), (b - a) / 1e9, self.expected[who], self._marks_in(who, a, b))
            for who, a, b in sorted(self._gaps, key=lambda gap: gap[1])
        ]
        names = ["who", "began", "ended", "seconds", "expected", "marks"]
        types = {"began": "datetime64[ns, UTC]", "ended": "datetime64[ns, UTC]"}
        return pd.DataFrame(rows, columns=names).astype({**types, "seconds": "float64"})

    def _marks_in(self, who: str, began: int, ended: int) -> str:
        """What was done in a gap or just before: messages that were on their way still arrive."""
        soonest = began - round(self.expected[who] * 1e9)
        return ", ".join(mark.text for mark in self.marks if soonest <= mark.time_ns <= ended)

    def __repr__(self) -> str:
        return f"gaps: {len(self._gaps)} of {', '.join(self.received)}"

    def _draw(self) -> Figure:
        names = list(self.received)
        figure, axes = self._lanes(names)
        for lane, times in enumerate(self.received.values()):
            xs = [self.at(t) for t in times]
            axes.scatter(xs, [lane] * len(xs), marker="|", s=60, linewidths=0.8, color=PALETTE[0])
        for number, (who, began, ended) in enumerate(self._gaps):
            x, width, lane = self.at(began), self.at(ended) - self.at(began), names.index(who)
            axes.barh(
                lane, width, 0.5, x, fill=False, hatch="////", edgecolor=PALETTE[5],
                label="" if number else "no message",
            )  # fmt: skip
            axes.annotate(
                f"{(ended - began) / 1e9:.2f} s", (x + width, lane + 0.3),
                ha="right", va="top", fontsize=9,
            )  # fmt: skip
        _legend(axes)
        return figure


class Latency(Plot):
    """See `latency`."""

    def __init__(self, record: Record) -> None:
        self.milliseconds: dict[str, list[float]] = {}
        for sent, got in record.pairs():
            taken = (got.time_ns - sent.time_ns) / 1e6
            self.milliseconds.setdefault(got.who, []).append(taken)
        if not self.milliseconds:
            raise RecordError(
                "no message of this record was seen both sent and received; "
                "record the sender and the receiver, in one record"
            )

    def frame(self) -> pd.DataFrame:
        """A row a receiver, and "all": `messages`, and `p50`, `p99`, `p99.9` and `max` in milliseconds.

        Percentiles are numpy's, with linear interpolation. Fewer than 1,000 messages have no
        p99.9 of their own: it is then near the maximum.
        """
        import pandas as pd

        rows = {who: _percentiles(values) for who, values in self._groups().items()}
        names = ["messages", *(f"p{p:g}" for p in PERCENTILES), "max"]
        frame = pd.DataFrame.from_dict(rows, orient="index", columns=names)
        frame.index.name = "who"
        return frame.astype({"messages": "int64"})

    def _groups(self) -> dict[str, list[float]]:
        everybody = [value for values in self.milliseconds.values() for value in values]
        return {**self.milliseconds, **({"all": everybody} if len(self.milliseconds) > 1 else {})}

    def __repr__(self) -> str:
        count = sum(map(len, self.milliseconds.values()))
        return f"latency: {many(count, 'message')} to {', '.join(self.milliseconds)}"

    def _draw(self) -> Figure:
        import numpy as np

        figure, axes = _figure(3.2)
        values = np.array([v for group in self.milliseconds.values() for v in group])
        if values.min() > 0:
            edges = np.geomspace(values.min() * 0.9, values.max() * 1.1, 60)
            _in_powers_of_ten(axes)
        else:  # clocks that differ, or are not fine enough
            edges = np.linspace(values.min() - 0.001, values.max() + 0.001, 60)
        axes.hist(values, edges, color=PALETTE[0], alpha=0.75, edgecolor=TEXT, linewidth=0.3)
        axes.set_xlabel("milliseconds from sent to received")
        axes.set_ylabel("messages")
        styles = ("solid", (0, (5, 2)), "dotted")
        for number, (p, style) in enumerate(zip(PERCENTILES, styles, strict=True)):
            value = float(np.percentile(values, p))
            axes.axvline(value, color=PALETTE[5], linestyle=style, linewidth=1.6)
            axes.annotate(
                f"p{p:g}  {value:.2f} ms", (value, 1.02 + 0.09 * number),
                xycoords=("data", "axes fraction"), ha="center", fontsize=9,
            )  # fmt: skip
        return figure


def _in_powers_of_ten(axes: Axes) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def timeline(record: Record, events: Iterable[Event] = ()) -> Timeline:
    """Draw who sent and who received what, when: a lane for each client, an arrow for each message.

    `events`, for example `lab.events`, are marked where they fall into the record's time, and so
    are the record's own marks. A cross is a message that no recorded client received, a hollow
    circle one whose sender was not recorded. Raises RecordError for an empty record.
    """
    return Timeline(record, events)


def gaps(record: Record, events: Iterable[Event] = (), *, longer_than: float | None = None) -> Gaps:
    """Find the times in which a client received nothing for longer than expected.

    Expected are `longer_than` seconds; without it, for each client, 5 times its median pause
    between two messages, at least 0.05 s. To that comes the longest time in which those that it
    hears sent nothing either: a pause of a sender, or of the machine, is no gap. A client that
    received nothing more while others sent on what it used to hear has a gap until the last of
    these. `.frame()` has a row a gap. Raises RecordError where nobody received anything.
    """
    return Gaps(record, events, longer_than)


def latency(record: Record) -> Latency:
    """How long messages took from sent to received, of those of which the record has both.

    `.frame()` has p50, p99 and p99.9 in milliseconds for each receiver; the picture is the
    distribution. Raises RecordError where no message was seen at both ends.
    """
    return Latency(record)


def _receptions(record: Record) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for entry in sorted(record.entries, key=lambda e: e.time_ns):
        if entry.what == "received":
            found.setdefault(entry.who, []).append(entry.time_ns)
    return found


def _expected(times: list[int]) -> float:
    """The longest pause that is no gap, in seconds."""
    import numpy as np

    usual = float(np.median(np.diff(times))) / 1e9 if len(times) > 1 else 0.0
    return max(SLACK * usual, SHORTEST_GAP)


def _sends_to(who: str, record: Record) -> list[int]:
    """When anybody sent something on a subject that this client hears, in order."""
    heard = {e.subject for e in record.entries if e.what == "received" and e.who == who}
    return sorted(e.time_ns for e in record.entries if e.what == "sent" and e.subject in heard)


def _silences(times: list[int], sends: list[int], expected: float) -> list[tuple[int, int]]:
    """Silences longer than expected by more than the longest pause of the senders within them.

    `sends` is empty where the record does not know the senders. A send after the last reception
    is waited for in vain.
    """
    if sends and sends[-1] > times[-1]:
        times = [*times, sends[-1]]
    found = []
    for began, ended in itertools.pairwise(times):
        if (ended - began) / 1e9 > expected:
            within = sends[bisect.bisect_right(sends, began) : bisect.bisect_left(sends, ended)]
            steps = itertools.pairwise([began, *within, ended])
            pause = max(b - a for a, b in steps) if sends else 0
            if (ended - began - pause) / 1e9 > expected:
                found.append((began, ended))
    return found


def _percentiles(values: list[float]) -> list[float]:
    import numpy as np

    return [len(values), *np.percentile(values, PERCENTILES).tolist(), max(values)]


def _figure(height: float) -> tuple[Figure, Axes]:
    """A figure of its own, with none of pyplot's state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines["left"].set_visible(False)
    return figure, axes


def _words_of(mark: Mark) -> str:
    return str(MARKS[mark.kind]["sign"]) + short(mark.text, 40)


def _draw_mark(axes: Axes, mark: Mark, x: float, row: int) -> None:
    style = MARKS[mark.kind]
    line = axes.axvline(x, color=style["color"], linestyle=style["linestyle"], linewidth=1.4)
    line.set_gid(mark.text)
    axes.annotate(
        _words_of(mark), (x, 1), (0, 3 + MARK_LINE * row),
        xycoords=("data", "axes fraction"), textcoords="offset points",
        ha="center", color=style["color"], fontsize=9, parse_math=False,
    )  # fmt: skip


def _legend(axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    if once:
        axes.figure.legend(
            list(once.values()), list(once), loc="outside lower right", ncols=4, fontsize=9,
        )  # fmt: skip
