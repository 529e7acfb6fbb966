"""Checks of notebook 14: what somebody does on the bare protocol, as the server tells it."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from labkit.course.checks.hour1 import connections, gather_until_quiet
from labkit.course.exercises import Look, exercise

TICKS, WANTED_TICKS = 5, 3
READING_TIME = 0.5  # seconds for the server to read what was sent on a plain socket

WANTED_RATIO = 3.0
ROUNDS = 3  # of the library and the learner in turn; the middle one counts
LIBRARY_COUNT, RAW_COUNT = 60_000, 300_000  # messages a round, about 0.1 s each
PAYLOAD = b"x" * 16
ODD_COUNT = 1_234  # no multiple of a likely batch
ODD_PAYLOAD = "Grüße\r\n+OK".encode()  # more bytes than letters, and a line end
FRAMING = (  # what goes wrong where the server does not understand
    "Does PUB say the payload's length in bytes, is \\r\\n after that line and after the payload, and is "
    "verbose off?"
)
CALL_TIMEOUT = 8.0  # seconds for the learner's function, in each call


# --- 1.11 --------------------------------------------------------------------------------------


@exercise(
    "1.11",
    title="Three ticks by hand",
    notebook="14",
    hints=(
        "Three lines: CONNECT with a name in its JSON, SUB with a subject and a number of your own, "
        "UNSUB with the same number and how many messages you want. Each ends with \\r\\n.",
        'The lines are `CONNECT {"verbose": false, "name": "by-hand"}`, `SUB ticks.* 1`, `UNSUB 1 3`. '
        "`UNSUB 1` alone would end it at once.",
    ),
)
async def three_ticks(look: Look) -> None:
    """Publishes ticks, and reads in /connz what the server did with the subscription."""
    found = await _by_hand(look)
    if not found:
        look.not_attempted(await _why_not_connected(look))
    connection = found[-1]
    subscribed = connection.get("subscriptions_list_detail", [])
    if not look.expect(
        len(subscribed) == 1,
        "by-hand has one subscription",
        _not_one(len(subscribed)),
    ):
        return
    limit = subscribed[0].get("max")
    look.expect(
        limit == WANTED_TICKS,
        f"the server will end it after {WANTED_TICKS} messages",
        f"the server will end it after {limit} messages, not {WANTED_TICKS}"
        if limit
        else "the server knows of no end to it: is there an UNSUB with the sid of your SUB, and a "
        "number of messages, and does its line end with \\r\\n?",
    )
    probe = await look.connect()
    for number in range(TICKS):
        await probe.publish(f"ticks.{number}", b"tick")
    await probe.flush()
    after = {c["cid"]: c for c in await connections(look, "by-hand")}.get(connection["cid"])
    if not look.expect(
        after is not None,
        "the connection is open",
        f"the connection was closed: {await _reason(look, connection['cid'])}",
    ):
        return
    assert after is not None
    delivered = after["out_msgs"] - connection["out_msgs"]
    look.expect(
        delivered == WANTED_TICKS,
        f"of {TICKS} ticks it was sent {delivered}",
        f"of {TICKS} ticks it was sent {delivered}, not {WANTED_TICKS}; "
        f"it listens on {subscribed[0]['subject']}",
    )
    look.expect(
        not after.get("subscriptions_list_detail"),
        "and the subscription is gone",
        "and the subscription is still there",
    )


async def _by_hand(look: Look) -> list[dict[str, Any]]:
    """The connections named by-hand, when the server has read what a socket may have just sent."""
    deadline = time.monotonic() + READING_TIME
    while True:
        found = await connections(look, "by-hand")
        subscribed = [s for c in found for s in c.get("subscriptions_list_detail", [])]
        if any("max" in s for s in subscribed) or time.monotonic() > deadline:
            return found
        await asyncio.sleep(0.01)


def _not_one(count: int) -> str:
    if count:
        return f"by-hand has {count} subscriptions, not one"
    return (
        "by-hand has no subscription: is there a SUB, its line ended with \\r\\n? (UNSUB without a "
        "number of messages ends it at once, and three messages end it too: run your cell again, "
        "then check)"
    )


async def _closed(look: Look) -> list[dict[str, Any]]:
    """The connections that the server has closed, the newest last."""
    server = next(iter(look.lab.values()))
    found = await asyncio.to_thread(server.monitor, "connz", state="closed")
    return sorted(found["connections"], key=lambda connection: connection["cid"])


async def _reason(look: Look, cid: int) -> str:
    """Why the server closed this connection, in its own words."""
    return next((c["reason"] for c in await _closed(look) if c["cid"] == cid), "unknown")


async def _why_not_connected(look: Look) -> str:
    """What became of by-hand: closed for a reason, a CONNECT that never ended, or nothing yet."""
    if await _unnamed(look):
        return (
            "a connection is there that has not introduced itself: send CONNECT on it, with a name, "
            "and end its line with \\r\\n"
        )
    names = [c["name"] for c in await _open(look) if not c.get("lang")]  # a library says its own
    if names:
        return f'a client named "{names[-1]}" is connected; its name is to be "by-hand"'
    gone = [c for c in await _closed(look) if not c.get("lang")][-1:]
    named = bool(gone) and gone[0].get("name") == "by-hand"
    if named and gone[0]["reason"] == "Client Closed":
        return (
            "by-hand was connected, and its socket is closed again: keep it open, in a variable, "
            "without `with`"
        )
    if gone and gone[0]["reason"] != "Client Closed":
        return (
            f"{'by-hand was connected, and' if named else 'your connection is gone:'} the server "
            f"closed it: {gone[0]['reason']}. Look at what the server said: print(by_hand.recv(4096))"
        )
    return 'no client named "by-hand" is connected yet'


async def _open(look: Look) -> list[dict[str, Any]]:
    """The connections that are open, the newest last."""
    server = next(iter(look.lab.values()))
    found = await asyncio.to_thread(server.monitor, "connz")
    return sorted(found["connections"], key=lambda connection: connection["cid"])


async def _unnamed(look: Look) -> bool:
    """Whether the server has an open connection that has not introduced itself."""
    return any(not c.get("name") for c in await _open(look))


# --- 1.12 --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Published:
    """One call of a publisher: the server's count of messages when it returned, and messages/s."""

    counted: int
    rate: float
    problem: str = ""


async def in_thread(function: Callable[..., Any], *arguments: Any) -> str:
    """Run the learner's function beside the event loop; what went wrong, "" when it returned.

    A daemon thread: one that never ends must not keep the kernel from ending.
    """
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    raised: list[str] = []

    def run() -> None:
        try:
            function(*arguments)
        except Exception as error:  # noqa: BLE001 - whatever it raises is told to the learner
            told = f"{function.__name__} raised {type(error).__name__}: {error}"
            of_the_wire = isinstance(error, OSError | AssertionError)
            raised.append(f"{told}. {FRAMING}" if of_the_wire else told)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=run, daemon=True).start()
    try:
        await asyncio.wait_for(done.wait(), CALL_TIMEOUT)
    except TimeoutError:
        return (
            f"{function.__name__} did not come back within {CALL_TIMEOUT:g} s; does it wait for an "
            "answer that the server does not give?"
        )
    return raised[0] if raised else ""


async def counted(look: Look) -> int:
    """Messages that the server has taken from clients so far."""
    server = next(iter(look.lab.values()))
    return int((await asyncio.to_thread(server.monitor, "varz"))["in_msgs"])


@exercise(
    "1.12",
    title="Three times as fast as the library",
    notebook="14",
    hints=(
        "What costs is not the message but the call: each `sendall` goes to the operating system once. "
        "How many messages fit into one?",
        "Bytes can be multiplied: `message * 1000` is a thousand messages. Send whole thousands, then "
        "the rest, then PING, and read lines until the PONG: a PING of the server's may come first.",
    ),
)
async def batched_publisher(look: Look) -> None:
    """Calls the learner's function and the library in turn; the server counts, the check has the clock."""
    publish_many = look.answer
    if inspect.iscoroutinefunction(publish_many):
        look.not_attempted("write it with def, not async def: the socket is a plain one")
    if not inspect.isfunction(publish_many):
        look.not_attempted("write the function: def publish_many(subject, payload, count)")
    problem = await _expect_delivery(look, publish_many)
    if problem or not all(met for met, _ in look.lines):
        return
    rounds: list[tuple[Published, Published]] = []
    for _ in range(ROUNDS):
        library = await _library(look)
        raw = await _raw(look, publish_many)
        if raw.problem:
            look.expect(False, "", raw.problem)
            return
        rounds.append((library, raw))
    _expect_counted(look, [raw for _, raw in rounds])
    rounds.sort(key=lambda pair: pair[1].rate / pair[0].rate)
    library, raw = rounds[ROUNDS // 2]
    look.expect(
        raw.rate >= WANTED_RATIO * library.rate,
        f"at least {WANTED_RATIO:g} times as fast as the library",
        f"the library published {library.rate:,.0f} messages/s, yours {raw.rate:,.0f}: "
        f"{raw.rate / library.rate:.1f} times as fast, in the middle one of {ROUNDS} rounds. How many "
        "messages go into one sendall? (If this computer is busy with other things, check again.)",
    )


async def _expect_delivery(look: Look, publish_many: Callable[..., Any]) -> str:
    """Expect that a small odd number of odd messages arrives whole; returns the function's problem."""
    probe = await look.connect()
    heard: list[bytes] = []

    async def note(message: Any) -> None:
        heard.append(message.data)

    await probe.subscribe("wire.odd", cb=note)
    await probe.flush()
    before = {c["cid"] for c in await _closed(look)}
    problem = await in_thread(publish_many, "wire.odd", ODD_PAYLOAD, ODD_COUNT)
    if problem:
        look.expect(False, "", problem)
        return problem
    await gather_until_quiet(heard, ODD_COUNT, patience=1.0)
    look.expect(
        len(heard) == ODD_COUNT,
        f"asked for {ODD_COUNT:,} messages, {len(heard):,} arrived",
        f"asked for {ODD_COUNT:,} messages, {len(heard):,} arrived. "
        + await _why_not_all(look, len(heard), before),
    )
    if not heard:
        return problem
    strange = [data for data in heard if data != ODD_PAYLOAD]
    look.expect(
        not strange,
        "each with its payload",
        f"the payload was {ODD_PAYLOAD!r}, and {strange[:1]} arrived; "
        "PUB wants the number of bytes, len(payload)",
    )
    return problem


async def _why_not_all(look: Look, arrived: int, before: set[int]) -> str:
    """Why messages are missing: what became of a connection closed since `before`, or not sent."""
    newest = [c for c in await _closed(look) if c["cid"] not in before][-1:]
    reason = newest[0]["reason"] if newest else "Client Closed"
    if reason in ("Read Error", "Write Error"):
        return (
            "The socket was closed before the server had read all: wait for the PONG of a PING, and "
            "ask for verbose to be off, or each message gets a line of its own in answer"
        )
    if reason != "Client Closed":
        return f"The server closed the connection: {reason}. {FRAMING}"
    if arrived == 0:
        return "Are they sent, and on the subject that your function is given?"
    return "Is the last, smaller batch missing, or one too many?"


async def _library(look: Look) -> Published:
    """One round of nats-py."""
    client = await look.connect()
    before, began = await counted(look), time.perf_counter()
    for _ in range(LIBRARY_COUNT):
        await client.publish("wire.library", PAYLOAD)
    await client.flush()
    took = time.perf_counter() - began
    return Published(await counted(look) - before, LIBRARY_COUNT / took)


async def _raw(look: Look, publish_many: Callable[..., Any]) -> Published:
    """One round of the learner's publisher."""
    before, began = await counted(look), time.perf_counter()
    problem = await in_thread(publish_many, "wire.raw", PAYLOAD, RAW_COUNT)
    took = time.perf_counter() - began
    return Published(await counted(look) - before, RAW_COUNT / took, problem)


def _expect_counted(look: Look, raw: list[Published]) -> None:
    fewest = min(published.counted for published in raw)
    look.expect(
        all(published.counted == RAW_COUNT for published in raw),
        f"the server had counted {RAW_COUNT:,} of {RAW_COUNT:,} each time it came back",
        f"the server had counted {fewest:,} of {RAW_COUNT:,} when your function came back. "
        "End with PING, and come back when its PONG is there; is verbose off in your CONNECT?",
    )
