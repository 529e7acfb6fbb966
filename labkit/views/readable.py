"""Payloads, numbers and long texts as a person reads them."""

from __future__ import annotations

import json
from typing import Literal

Kind = Literal["text", "JSON", "hex", ""]
LONGEST = 72  # characters
LONGEST_TOKEN = 5  # characters of JSON that mean nothing in part: "false", or an escape


def kind_of(payload: bytes, size: int) -> Kind:
    """What a payload is taken for: an object or array of JSON, printable text, or bytes shown as hex.

    `size` is its full length; `payload` may be its beginning only.
    """
    if not size:
        return ""
    text = _text(payload, size)
    if text is None:
        return "hex"
    if text.lstrip()[:1] in ("{", "["):
        try:
            json.loads(text)
            return "JSON"
        except json.JSONDecodeError as error:
            if size > len(payload) and _ended(error):
                return "JSON"
    return "text"


def readable(payload: bytes, size: int) -> str:
    """The payload in one line; it ends in "…" where `size`, its full length, is more than is here."""
    text = _text(payload, size)
    shown = payload.hex(" ") if text is None else " ".join(text.split())
    return shown + "…" * (size > len(payload))


def short(text: str, longest: int = LONGEST) -> str:
    """At most `longest` characters of a text, the last of them "…" where some are left out."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def plain(text: str) -> str:
    """The text without what does not print: control characters and changes of direction, escaped.

    Names and subjects may have them; XML and terminals do not take them well.
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def many(number: int, thing: str) -> str:
    """A number of things: "1 message", "1,200 messages"."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _ended(error: json.JSONDecodeError) -> bool:
    """Whether nothing was wrong with a beginning of JSON but that it ends, within a token at most."""
    return error.msg.startswith("Unterminated") or error.pos >= len(error.doc) - LONGEST_TOKEN


def _text(payload: bytes, size: int) -> str | None:
    """The payload as printable text; None where it is none. A beginning may end inside a character."""
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        if size == len(payload) or error.reason != "unexpected end of data":
            return None
        text = payload[: error.start].decode()
    return text if all(c.isprintable() or c.isspace() for c in text) else None
