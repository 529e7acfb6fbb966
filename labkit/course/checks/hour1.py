"""Checks of hour 1: publish and subscribe, as the server and a stranger on the network see it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from typing import Any

from labkit.course.exercises import Look, exercise

EUROPE = ("store.eu.berlin", "store.eu.berlin.1", "store.eu.lisbon", "store.eu.lisbon.2")
ELSEWHERE = ("store.us.seattle", "store.us.seattle.1", "store.europe.rome", "shop.eu.berlin")

ANEW = (  # the cell replaces its own clients, and the first cell ends all others
    "Run the exercise's cell once more, it starts afresh; if that changes nothing, run the notebook "
    "again from its first cell"
)
HOSTS = ("ada", "bob", "eve")
READINGS = 50  # each host's

BURST = 2000  # readings
QUIET = 2.0  # seconds without a message after which nothing more is expected
STANDSTILL = 0.5  # seconds that the event loop may be held; a good handler holds it for under 0.01


async def newest_connection(look: Look, name: str) -> list[dict[str, Any]]:
    """The newest open connection of this name, alone: older ones are earlier attempts."""
    return sorted(await connections(look, name), key=lambda connection: connection["cid"])[-1:]


def newest_error(look: Look) -> Any:
    """What a client reported last. Errors are counted from here: the list of them drops its oldest."""
    return next(reversed(look.lab.clients.errors), None)


def errors_since(look: Look, last: Any) -> list[Any]:
    """What clients have reported since `last` was the newest error, newest first."""
    return list(itertools.takewhile(lambda e: e is not last, reversed(look.lab.clients.errors)))


def raised(errors: list[Any]) -> str:
    """The end of a sentence on what went wrong: the newest of these errors; "" where there is none."""
    for error in (entry.error for entry in errors if not is_slow_consumer(entry.error)):
        text = f"; a callback raised {type(error).__name__}: {error}"
        # what nats-py comes to say when it is given a str, an int or a message to send
        no_bytes = "to bytes" in str(error) or "has no len()" in str(error)
        no_text = "'int' object has no attribute 'strip'" in str(error)  # a header's value
        return (
            text
            + (". A payload is bytes: text.encode()" if no_bytes else "")
            + ('. The value of a header is a text: "400"' if no_text else "")
        )
    return ""


async def connections(look: Look, name: str) -> list[dict[str, Any]]:
    """The open connections of this name, with their subscriptions and how many messages each got."""
    server = next(iter(look.lab.values()))
    found = await asyncio.to_thread(server.monitor, "connz", subs="detail")
    return [c for c in found["connections"] if c.get("name") == name]


def subscriptions(open_connections: list[dict[str, Any]]) -> dict[str, int]:
    """Messages delivered so far for each subscription, by "connection.sid subject"."""
    return {
        f"{s['cid']}.{s['sid']} {s['subject']}": s["msgs"]
        for c in open_connections
        for s in c.get("subscriptions_list_detail", [])
    }


async def hears(look: Look, name: str, subject: str) -> bool:
    """Whether an open connection of this name hears this subject, as the server matches it.

    Where none does, the check says to what they listen.
    """
    server = next(iter(look.lab.values()))
    found = await asyncio.to_thread(server.monitor, "subsz", subs=True, test=subject, limit=1000)
    hearing = {subscription.get("cid") for subscription in found.get("subscriptions_list") or []}
    open_ones = await connections(look, name)
    heard = any(connection["cid"] in hearing for connection in open_ones)
    if not heard:
        listened = subjects(subscriptions(open_ones))
        look.expect(
            False, "", f"{name} listens on {listened}: with that it hears nothing on {subject}"
        )
    return heard


async def expect_subscribed(look: Look, name: str, found: list[dict[str, Any]]) -> None:
    """End the check where these connections, all of this name, have no subscription yet."""
    if not found:
        server = next(iter(look.lab.values()))
        said = await asyncio.to_thread(server.monitor, "connz")
        names = sorted({c["name"] for c in said["connections"] if c.get("name")})
        look.not_attempted(
            f'no client is named "{name}" yet; connected are: {", ".join(names) or "none"}'
        )
    if not subscriptions(found):
        look.not_attempted(
            f'the client named "{name}" has no subscription yet; subscribe with this client, and '
            "with `await`, in a cell that ends without an error"
        )


def subjects(names: Any) -> str:
    """Subscription names as a person wrote them."""
    return ", ".join(sorted({name.partition(" ")[2] for name in names}))


async def gather_until_quiet(messages: list[Any], wanted: int, patience: float = QUIET) -> None:
    """Wait until `wanted` messages are there, or none has come for `patience` seconds."""
    seen, since = len(messages), time.monotonic()
    while len(messages) < wanted and time.monotonic() - since < patience:
        await asyncio.sleep(0.01)
        if len(messages) != seen:
            seen, since = len(messages), time.monotonic()


@exercise(
    "1.1",
    title="Every European store",
    notebook="11",
    hints=(
        "A subject is matched token by token. Which tokens do all European stores share, and how "
        "many tokens can follow them?",
        "`*` stands for exactly one token, `>` for one or more at the end. Tills are one token deeper "
        "than their store.",
    ),
)
async def european_stores(look: Look) -> None:
    """Publishes probes and reads in /connz which of them reached the learner's subscriptions."""
    await expect_subscribed(look, "eu-stores", await newest_connection(look, "eu-stores"))
    probe = await look.connect()
    reached: dict[str, list[str]] = {}
    for subject in EUROPE + ELSEWHERE:
        before = subscriptions(await newest_connection(look, "eu-stores"))
        await probe.publish(subject, b"probe")
        await probe.flush()
        after = subscriptions(await newest_connection(look, "eu-stores"))
        reached[subject] = [name for name in after if after[name] > before.get(name, 0)]

    missed = [s for s in EUROPE if not reached[s]]
    look.expect(
        not missed,
        f"delivered: {', '.join(EUROPE)}",
        f"not delivered: {', '.join(missed)}. Your subscriptions are {subjects(after)}; "
        "`*` stands for one token only, and a token must match to the letter",
    )
    wrong = [s for s in ELSEWHERE if reached[s]]
    look.expect(
        not wrong,
        f"not delivered: {', '.join(ELSEWHERE)}",
        f"delivered although it is no European store: {', '.join(wrong)}, "
        f"through {subjects(name for s in wrong for name in reached[s])}",
    )
    doubled = [s for s in EUROPE if len(reached[s]) > 1]
    look.expect(
        not doubled,
        "each of them once",
        f"delivered more than once: {', '.join(doubled)}; several of your subscriptions match it: "
        f"{subjects(name for s in doubled for name in reached[s])}",
    )


@exercise(
    "1.2",
    title="Fan-in",
    notebook="11",
    hints=(
        "One subscription with a wildcard in the place of the host hears every host. Give it a "
        "callback; the host is then a token of `message.subject`.",
        'In the callback: `host = message.subject.split(".")[1]`, then publish '
        '`f"{host} {message.data.decode()}".encode()` on `dashboard`. A callback takes the messages one after '
        "another, so the order is kept, as long as it awaits its own work.",
    ),
)
async def fan_in(look: Look) -> None:
    """Plays the three hosts, each on its own connection, and reads what reaches the dashboard."""
    collectors = await connections(look, "collector")
    await expect_subscribed(look, "collector", collectors)
    subscribed = [name for name in subscriptions(collectors) if " metrics" in name]
    if not subscribed:
        look.expect(
            False,
            "",
            f"the collector listens on {subjects(subscriptions(collectors))}: with that it hears "
            "nothing of metrics.<host>.cpu",
        )
        return
    look.expect(
        len(subscribed) == 1,
        "one subscription hears all hosts",
        f"one subscription is enough, the collector has {len(subscribed)}: {subjects(subscribed)}. "
        f"{ANEW}",
    )
    viewer = await look.connect()
    lines: list[str] = []

    async def note(message: Any) -> None:
        lines.append(message.data.decode(errors="replace"))

    await viewer.subscribe("dashboard", cb=note)
    await viewer.flush()
    publishers = [await look.connect() for _ in HOSTS]
    last = newest_error(look)
    for number in range(READINGS):
        for host, publisher in zip(HOSTS, publishers, strict=True):
            await publisher.publish(f"metrics.{host}.cpu", str(number).encode())
            await publisher.publish(f"metrics.{host}.disk", b"full")
    wanted = Counter(f"{host} {number}" for host in HOSTS for number in range(READINGS))
    await gather_until_quiet(lines, wanted.total())

    counted = Counter(lines)
    strange = sorted(counted.keys() - wanted.keys())
    missing = (wanted - counted).total()
    if not lines:
        why = raised(errors_since(look, last)) or (
            "; does a callback, or a task, take the messages while other cells run, and is there an "
            "`await` in front of its publish?"
        )
        look.expect(False, "", f"nothing was published on dashboard{why}")
        return
    look.expect(
        not missing,
        f"{wanted.total()} readings of {len(HOSTS)} hosts reached the dashboard",
        f"{missing} of {wanted.total()} readings did not reach the dashboard; "
        f"the first it missed: {next(iter(wanted - counted), '')!r}",
    )
    look.expect(
        not strange,
        "nothing else did",
        f"the dashboard showed what is no CPU reading of a host: {strange[:3]}; "
        'a line is "<host> <reading>", and only the subject metrics.<host>.cpu counts',
    )
    doubled = [line for line in counted if line in wanted and counted[line] > 1]
    look.expect(
        not doubled,
        "each of them once",
        f"{len(doubled)} readings came more than once, {doubled[:1]} first; is there more than one "
        "subscription?",
    )
    shuffled = [host for host in HOSTS if not _in_order(lines, host)]
    look.expect(
        not shuffled,
        "and in the order in which each host had sent them",
        f"the readings of {', '.join(shuffled)} came out of order; does the callback hand them to "
        "tasks that overtake each other?",
    )


def _in_order(lines: list[str], host: str) -> bool:
    """Whether the host's readings stand in ascending order among the lines."""
    numbers = [
        line.split()[1] for line in lines if line.startswith(f"{host} ") and len(line.split()) > 1
    ]
    values = [int(number) for number in numbers if number.isdigit()]
    return values == sorted(values)


@exercise(
    "1.3a",
    title="Find the slow consumer",
    notebook="11",
    hints=(
        "NATS tells the client that is too slow, through its error callback. The kit prints what the "
        "callback is told, with the client's name.",
        "Look at the red line under the cell that sent the prices. Write that client's name as a string.",
    ),
)
async def slow_screen(look: Look) -> None:
    """Compares the answer with the clients that reported a slow consumer through error_cb."""
    if not isinstance(look.answer, str):
        look.not_attempted('write the name of a client as a string, for example "screen-9"')
    screens = {
        name for name in ("screen-1", "screen-2", "screen-3") if await connections(look, name)
    }
    if not screens:
        look.not_attempted("the screens are not connected: run the cells of this exercise first")
    slow = {e.client for e in look.lab.clients.errors if is_slow_consumer(e.error)} & screens
    if not slow:
        look.not_attempted("no screen was slow yet: run the cell that sends the prices first")
    if not look.expect(
        look.answer in screens,
        f"{look.answer} is one of the connected screens",
        f"there is no client named {look.answer!r}; the screens are {', '.join(sorted(screens))}",
    ):
        return
    look.expect(
        look.answer in slow,
        f"{look.answer} reported a slow consumer, the others did not",
        f"{look.answer} reported no error; it got every price. Which client did?",
    )


def is_slow_consumer(error: Exception) -> bool:
    """Whether the client library reported that it drops messages."""
    from nats.errors import SlowConsumerError

    return isinstance(error, SlowConsumerError)


@exercise(
    "1.3b",
    title="Cure it",
    notebook="11",
    hints=(
        "The messages wait in the subscription's queue until the callback takes them. Either the "
        "queue must hold the whole burst, or the callback must be done at once and leave the work "
        "to somebody else.",
        "`subscribe` has `pending_msgs_limit`. The other way: the callback only puts the message into "
        "an `asyncio.Queue`, and a few tasks take from it and `await store(...)`.",
    ),
)
async def cured(look: Look) -> None:
    """Sends the burst, counts what was stored, and watches the connection and the event loop."""
    recorders = await connections(look, "recorder")
    await expect_subscribed(look, "recorder", recorders)
    if not await hears(look, "recorder", "readings"):
        return
    probe = await look.connect()
    stored: list[bytes] = []

    async def note(message: Any) -> None:
        stored.append(message.data)

    await probe.subscribe("stored", cb=note)
    await probe.flush()
    last = newest_error(look)
    standstill = asyncio.create_task(longest_standstill())
    for number in range(BURST):
        await probe.publish("readings", str(number).encode())
    await gather_until_quiet(stored, BURST)
    standstill.cancel()
    held = await standstill

    errors = [e for e in errors_since(look, last) if e.client == "recorder"]
    slow = any(is_slow_consumer(e.error) for e in errors)
    missing = BURST - len({reading for reading in stored if reading.isdigit()})
    look.expect(
        missing == 0,
        f"{BURST:,} of {BURST:,} readings stored",
        f"{missing:,} of {BURST:,} readings were never stored"
        + (
            "; the recorder reported a slow consumer: its queue was full"
            if slow
            else raised(errors) or "; does the callback `await store(message.data)`?"
        ),
    )
    if not stored and held < STANDSTILL:
        return
    look.expect(
        len(stored) <= BURST,
        "each of them once",
        f"{len(stored) - BURST:,} readings were stored more than once; is there a "
        f"second subscription? {ANEW}",
    )
    look.expect(
        [c["cid"] for c in await connections(look, "recorder")] == [c["cid"] for c in recorders],
        "over the connection that it had at the start",
        "the server closed the recorder's connection; does it read at all?",
    )
    look.expect(
        held < STANDSTILL,
        "and the notebook went on meanwhile",
        f"nothing else in this notebook could run for {held:.1f} s: the callback blocks the event "
        "loop. Is there a time.sleep where an await asyncio.sleep belongs?",
    )


async def longest_standstill() -> float:
    """The longest time, in seconds, for which the event loop did not run; ends when cancelled."""
    longest, step = 0.0, 0.01
    try:
        while True:
            before = time.monotonic()
            await asyncio.sleep(step)
            longest = max(longest, time.monotonic() - before - step)
    except asyncio.CancelledError:
        return max(longest, time.monotonic() - before - step)
