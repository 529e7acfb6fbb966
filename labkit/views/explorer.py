"""A subject explorer: type a pattern, see which subjects reach a subscription on it.

Nothing is computed here: each subject is published to, and what the server delivers lights up.
It all happens below an inbox of the explorer's own, so that no other subscriber hears it.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nats.aio.client import Client

STORES = (
    "store",
    "store.us",
    "store.us.seattle",
    "store.us.seattle.1",
    "store.us.austin",
    "store.eu",
    "store.eu.berlin",
    "store.eu.berlin.1",
    "store.eu.berlin.2",
    "store.eu.lisbon",
    "Store.EU.Berlin",
    "dept.sales.report",
    "dept.sales.q3.report",
    "dept.toys.report",
)


@dataclass(frozen=True)
class Lights:
    """Which of the subjects reached a subscription on the pattern."""

    pattern: str
    subjects: tuple[str, ...]
    lit: frozenset[str]

    def __repr__(self) -> str:
        rows = [f"{'●' if s in self.lit else '·'} {s}" for s in self.subjects]
        return "\n".join([f"{self.pattern} hears {len(self.lit)} of {len(self.subjects)}", *rows])

    def _repr_html_(self) -> str:
        chips = "".join(self._chip(subject) for subject in self.subjects)
        heading = f"<code>{html.escape(self.pattern)}</code> hears {len(self.lit)} of {len(self.subjects)}"
        return (
            f"<div>{heading}<div style='line-height:2.1;font-family:monospace'>{chips}</div></div>"
        )

    def _chip(self, subject: str) -> str:
        on = subject in self.lit
        style = (
            "background:#ffd54a;color:#222;border:1px solid #a07800;font-weight:bold"
            if on
            else "border:1px dashed currentColor;opacity:.55"
        )
        return (
            f"<span style='{style};border-radius:9px;padding:1px 8px;margin-right:6px;"
            f"white-space:nowrap;display:inline-block;line-height:1.5'>"
            f"{'● ' if on else ''}{html.escape(subject)}</span>"
        )


async def explore(nc: Client, pattern: str, subjects: Iterable[str] = STORES) -> Lights:
    """Subscribe to `pattern`, publish to every subject, and show which ones arrive.

    Raises nats-py's own error for a pattern that nobody can subscribe to.
    """
    subjects = tuple(subjects)
    prefix = f"{nc.new_inbox()}."
    subscription = await nc.subscribe(prefix + pattern)
    try:
        for subject in subjects:
            await nc.publish(prefix + subject)
        await nc.flush()  # by the time the server answers, its messages for us have arrived
        heard = [await subscription.next_msg() for _ in range(subscription.pending_msgs)]
    finally:
        await subscription.unsubscribe()
    lit = frozenset(message.subject.removeprefix(prefix) for message in heard)
    return Lights(pattern, subjects, lit)
