"""Tables: aligned as text, and as HTML in which only what is meant to be markup is."""

from __future__ import annotations

from labkit.servers import tables


def test_text_is_escaped_and_markup_is_not_and_numbers_have_commas():
    row = tables.html_row(["<b>", tables.Markup("<svg/>"), 12_345])
    assert row == "<tr><td>&lt;b&gt;</td><td><svg/></td><td>12,345</td></tr>"


def test_a_style_is_on_the_heading_and_on_each_cell():
    assert tables.html_table(["a"], [["x"]], tables.left) == (
        "<table><tr><th style='text-align:left'>a</th></tr>"
        "<tr><td style='text-align:left'>x</td></tr></table>"
    )


def test_without_names_of_columns_there_is_no_heading():
    assert tables.html_table([], [["x"]]) == "<table><tr><td>x</td></tr></table>"


def test_lines_of_a_cell_are_escaped_and_empty_ones_left_out():
    assert tables.lines("a & b", "", "→ <c>") == "a &amp; b<br>→ &lt;c&gt;"


def test_columns_are_as_wide_as_their_longest_cell_and_lines_end_without_spaces():
    assert tables.aligned([("kind", "a"), ("x", "long"), ("y", "")]) == [
        "kind  a",
        "x     long",
        "y",
    ]
    assert tables.aligned([]) == []
