"""Waiting for a condition, with a deadline and a sentence for when it passes. Nothing here sleeps blindly."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from labkit.servers.errors import NotInTimeError

T = TypeVar("T")

SHORTEST_PAUSE = 0.0005  # seconds; a server answers 6-8 ms after its launch, so look often at first
LONGEST_PAUSE = 0.02  # seconds
PATIENCE = 1 / 8  # of the time waited so far is the pause: what was waited for is seen hardly later


def wait_until(condition: Callable[[], T], timeout: float, what: str) -> T:
    """Return the first true value of `condition()`, asked again and again for `timeout` seconds.

    `what` completes the sentence "… did not happen within N s" and is best written as
    "server n1 to answer". Raises NotInTimeError.
    """
    began = time.monotonic()
    while not (value := condition()):
        waited = time.monotonic() - began
        if waited >= timeout:
            raise NotInTimeError(f"waited {timeout:g} s for {what}, in vain")
        time.sleep(min(max(waited * PATIENCE, SHORTEST_PAUSE), LONGEST_PAUSE))
    return value
