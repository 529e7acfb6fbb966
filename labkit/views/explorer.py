"""A subject explorer: type a pattern, see which subjects reach a subscription on it.

Nothing is computed here: each subject is published, and what the server delivers lights up.
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
    """Subscribe to `pattern`, publish on every subject, and show which ones arrive.

    A pattern that cannot be subscribed to raises nats-py's own error.
    """
    subjects = tuple(subjects)
    subscription = await nc.subscribe(pattern)
    try:
        for subject in subjects:
            await nc.publish(subject)
        await nc.flush()  # what the server has for us is here once it answers
        heard = [await subscription.next_msg() for _ in range(subscription.pending_msgs)]
    finally:
        await subscription.unsubscribe()
    return Lights(pattern, subjects, frozenset(message.subject for message in heard))
