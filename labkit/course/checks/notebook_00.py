"""The check of notebook 00: a first exercise, to learn how exercises work."""

from __future__ import annotations

from labkit.course.look import Look


async def first_subscription(look: Look) -> None:
    """Asks the server who is connected under the name "first", and what it listens to."""
    mine = (await look.connections("first"))[-1:]  # older ones are earlier attempts
    look.need(mine, "client")
    look.expect(True, "client")
    heard = {subscription.subject for subscription in mine[0].subscriptions}
    look.must(heard, "nothing")
    case = "case" if "hello" in map(str.lower, heard) else "hello"
    wrong = "more" if "hello" in heard else case
    look.expect(heard == {"hello"}, "hello", wrong=wrong, heard=heard, others=heard - {"hello"})
