"""The few shapes that the map is drawn with, as SVG text. Readable on light and on dark pages.

Every word stands on a filled shape of its own, and every line has a middle tone: so no theme has
to be known. What colour says, a shape, a dash or a word says too.
"""

from __future__ import annotations

import html
import unicodedata
from dataclasses import dataclass

from labkit.views.readable import plain

FONT = "system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif"

Point = tuple[float, float]


@dataclass(frozen=True)
class Curve:
    """A line as SVG path data, with the point where its label goes."""

    path: str
    label: Point


@dataclass(frozen=True)
class Style:
    """Colours of a filled shape with words in it."""

    fill: str
    edge: str
    ink: str
    dash: str = ""


SERVER = Style("#e8f1fb", "#2f6db5", "#0f2740")
DOWN = Style("#dfe2e6", "#6b7280", "#33383f", "5 4")
OUTSIDE = Style("#ffffff", "#6b7280", "#33383f", "1.5 3")
CLIENT = Style("#fdf4cf", "#9a7f14", "#3a3003")
NOTE = Style("#ffffff", "#7b8794", "#22303f")
TITLE = Style("#3c5876", "#3c5876", "#ffffff")
STEP = Style("#b3126b", "#ffffff", "#ffffff")

LINES = {  # colour and width of each kind of link
    "route": ("#7187a0", 2.0),
    "gateway": ("#8a63c4", 4.0),
    "leaf": ("#b9761c", 2.5),
    "client": ("#a08b3a", 1.2),
    "step": ("#d6247f", 3.5),
}
DOWN_LINE = "#7b8794"


def number(value: float) -> str:
    """A length with one digit after the point at most, so that pictures are the same everywhere."""
    short = f"{value:.1f}".removesuffix(".0")
    return "0" if short == "-0" else short


def at(point: Point) -> str:
    """A point in path data."""
    return f"{number(point[0])},{number(point[1])}"


def straight(a: Point, b: Point) -> Curve:
    """A line between two points."""
    return Curve(f"M{at(a)} L{at(b)}", ((a[0] + b[0]) / 2, (a[1] + b[1]) / 2))


def bend(a: Point, c: Point, d: Point, b: Point) -> Curve:
    """A Bézier curve from a to b, pulled towards c and d."""
    x, y = ((a[i] + 3 * c[i] + 3 * d[i] + b[i]) / 8 for i in (0, 1))
    return Curve(f"M{at(a)} C{at(c)} {at(d)} {at(b)}", (x, y))


def line(curve: Curve, kind: str, up: bool = True) -> str:
    """A link of this kind; dashed and grey when it is down."""
    colour, width = LINES[kind]
    dash = "" if up else ' stroke-dasharray="6 6"'
    return (
        f'<path d="{curve.path}" fill="none" stroke="{colour if up else DOWN_LINE}" '
        f'stroke-width="{number(width)}"{dash}/>'
    )


def arrow(curve: Curve, head: str) -> str:
    """A step of a message along this line, with its head at the line's "start" or "end"."""
    colour, width = LINES["step"]
    return (
        f'<path d="{curve.path}" fill="none" stroke="{colour}" stroke-width="{number(width)}" '
        f'marker-{head}="url(#step-{head})"/>'
    )


def box(x: float, y: float, width: float, height: float, style: Style, radius: float = 7) -> str:
    """A rectangle by its centre."""
    dash = f' stroke-dasharray="{style.dash}"' if style.dash else ""
    return (
        f'<rect x="{number(x - width / 2)}" y="{number(y - height / 2)}" width="{number(width)}" '
        f'height="{number(height)}" rx="{number(radius)}" fill="{style.fill}" '
        f'stroke="{style.edge}" stroke-width="1.5"{dash}/>'
    )


def text(
    x: float,
    y: float,
    words: str,
    ink: str,
    size: float = 11,
    bold: bool = False,
    anchor: str = "middle",
) -> str:
    """Words whose middle is at this height."""
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{number(x)}" y="{number(y + size * 0.35)}" font-size="{number(size)}" '
        f'fill="{ink}" text-anchor="{anchor}"{weight}>{html.escape(plain(words))}</text>'
    )


def letters(words: str) -> float:
    """How many letters of common width take as much place: ideographs, emoji and M take two."""
    return sum(2 if c in "MW@" or unicodedata.east_asian_width(c) in "WF" else 1 for c in words)


def pill_width(words: str, size: float = 10.5) -> float:
    """How wide a pill with these words is."""
    return 5.9 * size / 10.5 * letters(words) + 14


def pill(x: float, y: float, words: str, style: Style, size: float = 10.5) -> str:
    """Words on a rounded shape as wide as they need."""
    shape = box(x, y, pill_width(words, size), size + 7, style, (size + 7) / 2)
    return shape + text(x, y, words, style.ink, size)


def disc(x: float, y: float, words: str, style: Style) -> str:
    """A sign or number in a circle."""
    return (
        f'<circle cx="{number(x)}" cy="{number(y)}" r="9" fill="{style.fill}" '
        f'stroke="{style.edge}" stroke-width="1.5"/>' + text(x, y, words, style.ink, 11, bold=True)
    )


def document(width: float, height: float, title: str, parts: list[str]) -> str:
    """A whole SVG with a name for those who cannot see it. No script, nothing from elsewhere."""
    heads = "".join(
        f'<marker id="step-{end}" viewBox="0 0 10 10" refX="{x}" refY="5" markerWidth="4.2" '
        f'markerHeight="4.2" orient="auto"><path d="{triangle}" fill="{LINES["step"][0]}"/></marker>'
        for end, x, triangle in (
            ("end", 9, "M0,0 L10,5 L0,10 z"),
            ("start", 1, "M10,0 L0,5 L10,10 z"),
        )
    )
    defs = f"<defs>{heads}</defs>" if any("url(#step-" in part for part in parts) else ""
    title = html.escape(plain(title))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {number(width)} {number(height)}" '
        f'width="{number(width)}" height="{number(height)}" style="max-width:100%;height:auto" '
        f'font-family="{FONT}" role="img" aria-label="{title}">'
        f"<title>{title}</title>{defs}" + "\n".join(["", *parts]) + "\n</svg>"
    )
