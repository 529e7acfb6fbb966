"""Waiting for a condition, with a deadline and a sentence for when it passes. Nothing here sleeps blindly."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from labkit.servers.errors import NotInTimeError

T = TypeVar("T")

# Seconds. A server answers 6-8 ms after its launch, so that long it is asked again and again.
EAGER = 0.008
SHORTEST_PAUSE = 0.00025
# Later the pause is this part of the time waited, so that what is waited for is seen hardly later.
PATIENCE = 1 / 8
LONGEST_PAUSE = 0.02


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
        pause = max((waited - EAGER) * PATIENCE, SHORTEST_PAUSE)
        time.sleep(min(pause, LONGEST_PAUSE))
    return value
