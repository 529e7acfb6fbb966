"""What a check does to the learner's work: names, hosts, a load, responders, a room, their function.

Everything is bounded, counts its ends, and uses fresh random values, so that an answer made for the
notebook's own does not pass. What a check says and asks is in `look`.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import json
import random
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, cast

import nats.errors
from nats.aio.client import Client as NatsClient

from labkit.course.look import CLIENT_NAME, Look
from labkit.servers import topology
from labkit.servers.server import ServerProcess
from labkit.servers.topology import RunningTopology

SEED = "LABKIT_SEED"  # in the environment: the same values in every run, where outputs are compared
chance = random.Random()  # of everything that is made up for a check; sown when the check begins
WORDS = ["basil", "carob", "clove", "cumin", "dill", "endive", "fennel", "ginger", "hazel", "iris"]
WORDS += ["juniper", "kale", "laurel", "mint", "nutmeg", "olive", "parsley", "quince", "rosemary"]
WORDS += ["saffron", "thyme", "vanilla", "wasabi", "yarrow", "zest"]


def names(count: int, but: Collection[str] = ()) -> list[str]:
    """So many fresh names of unequal lengths; none contains another, or one of `but`."""
    words = [word for word in WORDS if not any(word in name or name in word for name in but)]
    ends = ("", str(chance.randint(100, 9999)), f"-{chance.randint(2, 99)}")
    return [word + chance.choice(ends) for word in chance.sample(words, count)]


def numbers(count: int) -> list[str]:
    """So many different numbers as text, in no order."""
    return [str(number) for number in chance.sample(range(10, 90 * count), count)]


def function(look: Look, name: str, answer: Any) -> Callable[..., Awaitable[Any]]:
    """The learner's `async def`, which the check was given; "not yet" where it was given none.

    A lambda may give back such a call, so plain functions pass here: `call` says what they gave.
    """
    if inspect.iscoroutine(answer):
        answer.close()
        look.need(False, "called_already", name=name)
    call = getattr(answer, "__call__", None)  # noqa: B004 - an object that is called is as good
    awaited = any(map(inspect.iscoroutinefunction, (answer, call)))
    look.need(awaited or inspect.isfunction(answer), "no_function", name=name)
    return cast("Callable[..., Awaitable[Any]]", answer)


# --- load and responders -----------------------------------------------------------------------


@dataclass
class Load:
    """Requests, `at_once` at a time: `ended` counts their ends, `enough` is set when 500 have ended."""

    request: Callable[[int], Awaitable[str]]  # sends one, and returns the word for its end
    total: int
    at_once: int = 100
    ended: Counter[str] = field(default_factory=Counter)
    enough: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Send all of them; returns when the last has ended."""
        numbers = iter(range(self.total))

        async def one_after_another() -> None:
            for number in numbers:
                self.ended[await self.request(number)] += 1
                if self.ended.total() >= 500:
                    self.enough.set()

        await asyncio.gather(*(one_after_another() for _ in range(self.at_once)))
        self.enough.set()


async def ask(
    client: NatsClient, subject: str, payload: bytes, timeout: float, expected: bytes | None = None
) -> str:
    """How a request ended: "answered", "wrong answer", "no responders" or "no answer"."""
    try:
        answer = await client.request(subject, payload, timeout=timeout)
    except nats.errors.NoRespondersError:
        return "no responders"
    except TimeoutError:
        return "no answer"
    return "answered" if expected in (None, answer.data) else "wrong answer"


async def ask_all(
    look: Look, subject: str, payloads: list[bytes], client: NatsClient | None = None
) -> dict[bytes, list[Any]]:
    """Send all these questions, and gather all the answers to each."""
    client = client or await look.connect()
    inbox = await look.listen(f"{client.new_inbox()}.*", client)
    for number, payload in enumerate(payloads):
        await client.publish(subject, payload, reply=inbox.subject.replace("*", str(number)))
    await inbox.take(len(payloads))
    answers: dict[bytes, list[Any]] = {payload: [] for payload in payloads}
    for message in inbox.messages:
        if not (message.headers or {}).get("Status"):  # the server's own word: nobody listens
            answers[payloads[int(message.subject.rpartition(".")[2])]].append(message)
    return answers


@dataclass
class Responders:
    """Stores and the like, on one subject: after how many seconds each answers (None: never), and what."""

    client: NatsClient
    delays: dict[str, float | None]
    stocks: dict[str, int]
    heard: list[Any] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def on(self, subject: str) -> AsyncIterator[None]:
        """Answer what comes on this subject, until the block ends."""
        tasks: set[asyncio.Task[None]] = set()

        async def respond(message: Any, name: str, delay: float) -> None:
            await asyncio.sleep(delay)
            answer = json.dumps({"store": name, "stock": self.stocks[name]})
            await self.client.publish(message.reply, answer.encode())

        async def hear(message: Any) -> None:
            self.heard.append(message)
            for name, delay in self.delays.items():
                if delay is not None and message.reply:
                    tasks.add(asyncio.create_task(respond(message, name, delay)))

        subscription = await self.client.subscribe(subject, cb=hear)
        await self.client.flush()
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await subscription.unsubscribe()
            await self.client.flush()


# --- watching and breaking ---------------------------------------------------------------------


class Standstill:
    """The longest time, in seconds, for which the event loop did not run."""

    longest = 0.0


@contextlib.asynccontextmanager
async def standstill(step: float = 0.01) -> AsyncIterator[Standstill]:
    """Watch the event loop, until the block ends."""
    found = Standstill()

    async def watch() -> None:
        while True:
            before = time.monotonic()
            try:
                await asyncio.sleep(step)
            finally:
                found.longest = max(found.longest, time.monotonic() - before - step)

    task = asyncio.create_task(watch())
    try:
        yield found
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def chaos(victims: Iterable[ServerProcess], work: asyncio.Future[Any]) -> list[str]:
    """Kill servers in turn and start each again, until the work is done; the names of the killed."""
    killed = []
    for victim in itertools.takewhile(lambda _: not work.done(), victims):
        await asyncio.to_thread(victim.kill)
        killed.append(victim.name)
        await asyncio.to_thread(victim.start)
    return killed


async def servers(look: Look, files: dict[str, str]) -> RunningTopology:
    """A lab of the check's own, with these config files. Raises LabError where they do not start."""
    return await asyncio.to_thread(topology.start, type(look.lab), files)


# --- the room ----------------------------------------------------------------------------------


async def in_the_room(look: Look) -> tuple[str, set[str], NatsClient]:
    """The learner's name, which the check was given, the neighbours', and a client at another server.

    "Not yet" where the learner's is no name, or a neighbour's.
    """
    me = look.answer
    look.need(isinstance(me, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,30}", me), "name")
    look.need(me not in (people := look.room.neighbours), "neighbour", me=me)
    return cast("str", me), people, look.mine(await look.room.visitor(CLIENT_NAME))


async def close_who_hears(look: Look, subject: str) -> None:
    """Close the learner's clients at their own server that hear this subject."""
    hearing = {subscription.cid for subscription in await look.hearing(subject, look.room.seat)}
    for client in look.lab.clients.connected(look.room.seat.url):
        if client.client_id in hearing and client.options["name"] != CLIENT_NAME:
            await client.close()
