"""Checks of notebook 14: what somebody does on the bare protocol, as the server tells it."""

from __future__ import annotations

import asyncio
import inspect
import time

from labkit.course import play
from labkit.course.calling import call_in_thread
from labkit.course.look import Look

READING_TIME = 0.5  # seconds for the server to read what was sent on a plain socket
WANTED_RATIO = 3.0
MOST_ROUNDS = 7  # where some are fast enough and others not: the computer has other things to do
LIBRARY_COUNT, RAW_COUNT = 60_000, 300_000  # messages a round, about 0.1 s each
CALL_TIMEOUT = 8.0  # seconds for the learner's function, in each call
ODD = " Grüße\r\n+OK".encode()  # more bytes than letters, and a line end
OWN_ENDS = ("Client Closed", "Read Error")  # from this end; an error where INFO was not read
ENDS = {"Client Closed": "", "Read Error": "early", "Write Error": "early"}  # and their sentences
OF_THE_WIRE = ("OSError", "BrokenPipe", "Connection", "TimeoutError", "AssertionError")


async def three_ticks(look: Look) -> None:
    """Publishes ticks, and reads in /connz what the server did with the subscription."""
    found, deadline = await look.connections("by-hand"), time.monotonic() + READING_TIME
    while time.monotonic() < deadline and not any(s.max for c in found for s in c.subscriptions):
        await asyncio.sleep(0.01)
        found = await look.connections("by-hand")
    if not found:
        await _need_by_hand(look)
    connection, subscriptions = found[-1], found[-1].subscriptions
    wrong = "one" if subscriptions else "none"
    look.must(len(subscriptions) == 1, "one", wrong=wrong, subscriptions=subscriptions)
    limit, subject = subscriptions[0].max, subscriptions[0].subject
    look.must(subject == "ticks.*", "subject", subject=subject)
    look.must(limit == 3, "limit", wrong="limit" if limit else "endless", limit=limit)
    probe, ticks = await look.connect(), play.chance.randint(4, 9)
    for other in ("ticks", f"ticks.{ticks}.late", "Ticks.1"):
        await probe.publish(other, b"no tick")
    for name in play.names(ticks):
        await probe.publish(f"ticks.{name}", b"tick")
    await probe.flush()
    (after,) = [c for c in await look.connections(state="all") if c.cid == connection.cid]
    if after.reason in OWN_ENDS:  # it was on its way out when the check began
        await _need_by_hand(look)
    look.must(not after.reason, "open", reason=after.reason)
    delivered = after.out_msgs - connection.out_msgs
    look.expect(delivered == 3, "sent", ticks=ticks, delivered=delivered)
    look.expect(not after.subscriptions, "gone")


async def _need_by_hand(look: Look) -> None:
    """Say what became of by-hand: closed for a reason, a CONNECT that never ended, or nothing yet."""
    there = [c for c in await look.connections() if not c.lang]  # a library says its own
    look.need(all(c.name for c in there), "unnamed")
    look.need(not there, "misnamed", name=there[-1].name if there else "")
    gone = [c for c in await look.connections(state="closed") if not c.lang][-1:]
    named = any(c.name == "by-hand" for c in gone)
    for closed in gone:
        ours = closed.reason in OWN_ENDS
        look.need(not (ours and named), "closed")
        whose = "by-hand was connected, and" if named else "your connection is gone;"
        look.need(ours, "refused", whose=whose, reason=closed.reason)
    look.need(False, "nobody")


async def batched_publisher(look: Look) -> None:
    """Calls the learner's function and the library in turn; the server counts, the check has the clock."""
    look.need(not inspect.iscoroutinefunction(look.answer), "async")
    look.need(callable(look.answer), "function")
    odd, word = play.chance.randint(1001, 1999), play.names(1)[0]  # no multiple of a likely batch
    for count, payload in ((odd, word.encode() + ODD), (1, b"")):
        await _expect_delivery(look, f"wire.{word}.{count}", payload, count)
        if not all(met for met, _ in look.lines):
            return
    del look.lines[2:]  # of the second delivery, which was as good
    rounds: list[tuple[float, float, float]] = []
    fewest, fast, client = RAW_COUNT, 0, await look.connect()
    while len(rounds) < 3 or 0 < fast <= len(rounds) // 2 < MOST_ROUNDS // 2:
        began = time.perf_counter()
        for _ in range(LIBRARY_COUNT):
            await client.publish("wire.library", b"x" * 16)
        await client.flush()
        library = LIBRARY_COUNT / (time.perf_counter() - began)
        before = look.server.monitor("varz")["in_msgs"]
        raw = RAW_COUNT / await _published(look, "wire.raw", b"x" * 16, RAW_COUNT)
        # Asked three times: the server counts a read whole, just after it has answered its PING.
        counts = [look.server.monitor("varz")["in_msgs"] - before for _ in range(3)]
        fewest = min(fewest, counts[-1])
        rounds.append((raw / library, library, raw))
        fast = sum(ratio >= WANTED_RATIO for ratio, _, _ in rounds)
    look.expect(fewest == RAW_COUNT, "counted", all=RAW_COUNT, fewest=fewest)
    ratio, library, raw = sorted(rounds)[len(rounds) // 2]
    right, wanted = ratio >= WANTED_RATIO, WANTED_RATIO
    look.expect(right, "fast", wanted=wanted, ratio=ratio, library=library, raw=raw, rounds=rounds)


async def _published(look: Look, subject: str, payload: bytes, count: int) -> float:
    """The seconds that a call of the learner's function took; ends the check where it failed."""
    given = (subject, payload, count)
    called = await call_in_thread("publish_many", look.answer, *given, limit=CALL_TIMEOUT)
    wrong = "wire" if any(name in called.problem for name in OF_THE_WIRE) else ""
    look.must(not called.problem, "problem", wrong=wrong, problem=called.problem)
    return called.took


async def _expect_delivery(look: Look, subject: str, payload: bytes, count: int) -> None:
    """Expect that so many odd messages arrive whole, on the subject that is asked for."""
    client = await look.connect()
    heard, everything = [await look.listen(where, client) for where in (subject, ">")]
    before = {c.cid for c in await look.connections(state="closed")}
    await _published(look, subject, payload, count)
    arrived = len(await heard.take(count))
    closed = [c for c in await look.connections(state="closed") if c.cid not in before][-1:]
    reason = closed[0].reason if closed else "Client Closed"
    wrong = ENDS.get(reason, "refused") or ("" if arrived else "unsent")
    right, facts = arrived == count, {"count": count, "arrived": arrived, "reason": reason}
    look.expect(right, "arrived", wrong=wrong, **facts)
    strange = [m.data for m in heard.messages if m.data != payload][:1]
    await client.close()  # it would slow down what is measured next
    others = {m.subject for m in everything.messages if m.subject[:1] not in "_$"} - {subject}
    look.must(not others, "others", subject=subject, others=others)
    look.expect(not strange, "payload", payload=payload, strange=strange[0] if strange else b"")
