"""The check of notebook 00: a first exercise, to learn how exercises work."""

from __future__ import annotations

import asyncio

from labkit.course.exercises import Look, exercise


@exercise(
    "0.1",
    title="Your first subscription",
    notebook="00",
    hints=(
        "Two calls, each with `await`: `lab.connect(name=...)` gives a client, its `subscribe` takes a "
        "subject.",
        'The client is named "first", the subject is "hello". Names and subjects are strings.',
    ),
)
async def first_subscription(look: Look) -> None:
    """Asks the server who is connected under the name "first", and to what it listens."""
    server = next(iter(look.lab.values()))
    found = await asyncio.to_thread(server.monitor, "connz", subs=True)
    mine = [c for c in found["connections"] if c.get("name") == "first"]
    if not mine:
        look.not_attempted('the server has no client named "first"')
    look.expect(len(mine) > 0, 'the server has a client named "first"')
    newest = max(mine, key=lambda connection: connection["cid"])  # older ones are earlier attempts
    heard = sorted(set(newest.get("subscriptions_list", [])))
    why = "; upper and lower case are different" if "hello" in map(str.lower, heard) else ""
    look.expect(
        heard == ["hello"],
        "it listens to hello",
        f"it listens to {', '.join(heard)}, not to hello alone{why}"
        if heard
        else "it listens to nothing; is there an `await` in front of its subscribe?",
    )
