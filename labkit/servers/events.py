"""What labkit has done to a lab, and when: so that a picture can show it beside what it led to."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime

MOST = 1000  # events kept; older ones go first


@dataclass(frozen=True)
class Event:
    """Something done: "kill", "start", "cut", …, to servers or to the link between two."""

    time: datetime
    what: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.what} {'–'.join(self.names)}".strip()


class Events(deque[Event]):
    """The latest events, oldest first."""

    def __init__(self) -> None:
        super().__init__(maxlen=MOST)

    def note(self, what: str, *names: str) -> None:
        """Add what is done at this moment."""
        self.append(Event(datetime.now(UTC), what, names))
