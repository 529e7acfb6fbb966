"""Durations as nats-server writes them."""

from __future__ import annotations

import re

NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
    "y": 365 * 86_400_000_000_000,  # nats-server's uptime counts years of 365 days
}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d|y)")


def nanoseconds(value: float | str) -> int:
    """A duration as nats-server writes it: nanoseconds, or a string like "1h2m3s" or "635µs"."""
    if not isinstance(value, str):
        return int(value)
    return sum(round(float(number) * NANOSECONDS[unit]) for number, unit in _PART.findall(value))
