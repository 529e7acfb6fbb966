"""Tables as aligned text and as HTML: every table that labkit shows is put together here."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

LEFT = "text-align:left"


class Markup(str):
    """A cell that is HTML already: a picture, or more than one line."""


def lines(*texts: str) -> Markup:
    """A cell of several lines; empty ones are left out."""
    return Markup("<br>".join(html.escape(text) for text in texts if text))


def unstyled(_cell: object) -> str:
    """No style: the page decides."""
    return ""


def left(_cell: object) -> str:
    """Left-aligned, whatever the page says: for words."""
    return LEFT


Style = Callable[[object], str]  # the CSS of a cell


def html_row(
    cells: Iterable[object], style: Style = unstyled, tag: Literal["td", "th"] = "td"
) -> str:
    """A row of cells: whole numbers with commas, text escaped, Markup as it is."""
    return f"<tr>{''.join(_cell(cell, style(cell), tag) for cell in cells)}</tr>"


def html_table(
    columns: Sequence[str], rows: Iterable[Iterable[object]], style: Style = unstyled
) -> str:
    """The rows under the columns' names; without names there is no heading."""
    heading = html_row(columns, style, "th") if columns else ""
    return f"<table>{heading}{''.join(html_row(row, style) for row in rows)}</table>"


def _cell(cell: object, css: str, tag: str) -> str:
    shown = f"{cell:,}" if isinstance(cell, int) else str(cell)
    text = shown if isinstance(cell, Markup) else html.escape(shown)
    return f"<{tag} style='{css}'>{text}</{tag}>" if css else f"<{tag}>{text}</{tag}>"


def aligned(rows: Iterable[Sequence[str]]) -> list[str]:
    """A line a row, its cells in columns as wide as their longest, two spaces apart."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
