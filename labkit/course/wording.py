"""Facts in a sentence: how numbers, lists, errors and a learner's values read in a line of a check."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LONGEST_SHOWN, MOST_SHOWN = 60, 12  # characters of a value, and items of a list


def in_words(value: Any) -> str:
    """How a fact reads: a text as it is, 2,000 with its comma, several with commas, the rest cut short.

    A text with a line end or spaces around it is shown as Python shows it.
    """
    if isinstance(value, str):
        return value if value.isprintable() and value == value.strip() else repr(value)
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else f"{value:g}"
    if isinstance(value, set | frozenset):
        value = sorted(value, key=str)
    if isinstance(value, Mapping | Sequence) and not isinstance(value, bytes):
        shown = ", ".join(map(in_words, list(value)[:MOST_SHOWN])) or "none"
        return f"{shown}, …" if len(value) > MOST_SHOWN else shown
    return shortened(value)


def shortened(value: Any) -> str:
    """A value as Python shows it, on one line, cut where it is long."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # noqa: BLE001 - a learner's object may fail to say anything
        text = f"a {type(value).__name__}"
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


@dataclass(frozen=True)
class Fact:
    """`{it}` in words, `{it!r}` cut short, `{it:n}` how many, `{it:3}` the first three."""

    value: Any

    def __repr__(self) -> str:
        return shortened(self.value)

    def __format__(self, spec: str) -> str:
        if spec == "n":
            return in_words(len(self.value))
        if spec and not spec.isdigit():
            return format(self.value, spec)
        return in_words(list(self.value)[: int(spec)] if spec else self.value)


@dataclass(frozen=True)
class Raised:
    """`{raised:; is an await missing?}`: what a callback raised during this check, else these words."""

    errors: Sequence[Exception]

    def __format__(self, otherwise: str) -> str:
        for error in itertools.filterfalse(is_slow_consumer, self.errors):
            said = f"{type(error).__name__}: {error}"
            # what nats-py comes to say when it is given a str, an int or a message to send
            if "to bytes" in said or "has no len()" in said:
                said += ". A payload is bytes: "
                said += "message.data" if "'Msg'" in said else "text.encode()"
            elif "'int' object has no attribute 'strip'" in said:
                said += '. A header\'s value is a string: "400"'
            return f"; a callback raised {said}"
        return otherwise


def is_slow_consumer(error: Exception) -> bool:
    """Whether the client library reported that it drops messages."""
    return type(error).__name__ == "SlowConsumerError"
