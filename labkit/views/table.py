"""A small table that shows itself as HTML and as text, the same in both."""

from __future__ import annotations

import html
from dataclasses import dataclass, field

from labkit.servers import tables
from labkit.views.readable import plain

_CELL = "padding:1px 12px 1px 0;vertical-align:middle;white-space:nowrap;"
_NUMBER = _CELL + "text-align:right;font-variant-numeric:tabular-nums"


@dataclass(frozen=True)
class Picture:
    """A cell that is drawn: SVG for HTML, and words for the text form."""

    svg: str
    words: str

    def __str__(self) -> str:
        return self.words


Cell = str | int | Picture


@dataclass(frozen=True)
class Table:
    """A heading, named columns and rows; `note` says what is not shown."""

    heading: str
    columns: tuple[str, ...]
    rows: list[tuple[Cell, ...]] = field(default_factory=list)
    note: str = ""

    def without_empty(self, *optional: str) -> Table:
        """The table without those of the `optional` columns that have nothing in any row."""
        keep = [
            place
            for place, column in enumerate(self.columns)
            if column not in optional or any(str(row[place]) for row in self.rows)
        ]
        rows = [tuple(row[place] for place in keep) for row in self.rows]
        return Table(self.heading, tuple(self.columns[p] for p in keep), rows, self.note)

    def text(self) -> str:
        """The table in columns of plain text."""
        rows = [tuple(plain(str(cell)) for cell in row) for row in self.rows]
        body = tables.aligned([self.columns, *rows]) if rows else []
        return "\n".join([plain(self.heading), *body, *([plain(self.note)] if self.note else [])])

    def html(self) -> str:
        """The table as HTML that takes its colours from the page, light or dark."""
        first = self.rows[0] if self.rows else ()
        styles = dict(zip(self.columns, map(_style, first), strict=False))
        head = tables.html_row(styles, lambda name: styles[str(name)], "th")
        body = "".join(tables.html_row(map(_shown, row), _style) for row in self.rows)
        table = f"<table><thead>{head}</thead><tbody>{body}</tbody></table>"
        note = f"<div style='opacity:.75'>{_escaped(self.note)}</div>" if self.note else ""
        return f"<div><b>{_escaped(self.heading)}</b>{table if self.rows else ''}{note}</div>"


def _style(cell: object) -> str:
    return _NUMBER if isinstance(cell, int) else _CELL + tables.LEFT


def _shown(cell: Cell) -> str | int:
    if isinstance(cell, Picture):
        return tables.Markup(cell.svg)
    return plain(cell) if isinstance(cell, str) else cell


def _escaped(text: str) -> str:
    return html.escape(plain(text))
