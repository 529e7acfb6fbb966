"""From a monitoring page's JSON to a DataFrame: nested parts flattened, each column with its type.

Counts and bytes are Int64, times datetime64[ns, UTC], durations timedelta64[ns], words string,
yes and no boolean; lists stay Python lists. What a server leaves out is <NA>, or NaT.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from labkit.servers.durations import nanoseconds

Row = dict[str, Any]

COUNT, NUMBER, TEXT, FLAG, OTHER = "Int64", "Float64", "string", "boolean", "object"
TIME, DURATION = "datetime64[ns, UTC]", "timedelta64[ns]"

# By the last part of a field's name. Numbers under these names are nanoseconds (Go's
# time.Duration), strings are what Go prints, like "1h2m3s"; timeouts are numbers of seconds.
DURATIONS = frozenset(
    ("rtt", "uptime", "idle", "ping_interval", "write_deadline", "sync_interval", "max_age")
    + ("ack_wait", "duplicate_window", "wait_time", "max_wait_time", "pause_remaining")
)
SECONDS = frozenset(("auth_timeout", "tls_timeout"))
NUMBERS = frozenset(("cpu", "cache_hit_rate", "avg_fanout"))  # a whole one is printed without point
WHOLE = frozenset(("http_req_stats", "metadata"))  # whose keys are data, not fields

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
_NEVER = "0001-01-01"  # Go's zero time


def flatten(record: Mapping[str, Any], prefix: str = "") -> Row:
    """The record with nested objects' fields under dotted names; lists stay as they are."""
    flat: Row = {}
    for key, value in record.items():
        if isinstance(value, Mapping) and key not in WHOLE:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def frame(rows: Iterable[Row], columns: Mapping[str, str]) -> pd.DataFrame:
    """A DataFrame of the rows: first the known `columns` with their types, then any other field."""
    rows = list(rows)
    names = dict.fromkeys([*columns, *(name for row in rows for name in row)])
    made = {}
    for name in names:
        values = [row.get(name) for row in rows]
        made[name] = series(values, columns.get(name) or kind(name, values))
    return pd.DataFrame(made)


def kind(name: str, values: Iterable[Any]) -> str:
    """The type of a column that no list names: by the field's name, else by what is in it."""
    last = name.rpartition(".")[2]
    if last in DURATIONS or last in SECONDS:
        return DURATION
    if last in NUMBERS:
        return NUMBER
    found = [value for value in values if value is not None]
    if not found:
        return OTHER
    if all(isinstance(value, bool) for value in found):
        return FLAG
    if all(isinstance(value, int) and not isinstance(value, bool) for value in found):
        return COUNT if max(found) < 2**63 else "UInt64"
    if all(isinstance(value, int | float) for value in found):
        return NUMBER
    if all(isinstance(value, str) for value in found):
        return TIME if all(_TIME.match(value) for value in found) else TEXT
    return OTHER


def series(values: list[Any], kind: str) -> pd.Series:
    """A column of this type."""
    if kind == TIME:
        times = [None if value is None or value.startswith(_NEVER) else value for value in values]
        return pd.Series(pd.to_datetime(times, utc=True, format="ISO8601"), dtype=TIME)
    if kind == DURATION:
        lengths = [pd.NaT if value is None else nanoseconds(value) for value in values]
        return pd.Series(pd.to_timedelta(lengths, unit="ns"), dtype=DURATION)
    return pd.Series(values, dtype=kind)
