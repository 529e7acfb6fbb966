"""What a check does to the learner's work: names, hosts, a load, responders, a room, their function.

Everything is bounded, counts its ends, and uses fresh random values, so that an answer made for the
notebook's own does not pass. What a check says and asks is in `look`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import inspect
import json
import random
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import nats.errors
from nats.micro.request import ERROR_HEADER

from labkit.course.look import CLIENT_NAME, Look

if TYPE_CHECKING:
    from nats.aio.client import Client as NatsClient

    from labkit.servers.topology import Server

CALL_TIMEOUT = 10.0  # seconds for a function of the learner's to come back
HELD_TIMEOUT = 5.0  # seconds for which it may hold the event loop, then it is interrupted
SERVICE_TIMEOUT = 10.0  # seconds for a service of the room
WORDS = (
    "basil carob clove cumin dill endive fennel ginger hazel iris juniper kale laurel mint nutmeg "
    "olive parsley quince rosemary saffron thyme vanilla wasabi yarrow zest"
).split()
AFRESH = (
    "Run the exercise's cell again, it ends your last attempt; what another client subscribed to ends "
    "with the room: the notebook's first cell opens a new one"
)


def names(count: int, but: Iterable[str] = ()) -> list[str]:
    """So many fresh names of unequal lengths; none contains another, or one of `but`."""
    but = list(but)
    words = [word for word in WORDS if not any(word in name or name in word for name in but)]
    ends = ("", str(random.randint(100, 9999)), f"-{random.randint(2, 99)}")
    return [word + random.choice(ends) for word in random.sample(words, count)]


def numbers(count: int) -> list[str]:
    """So many different numbers as text, in no order."""
    return [str(number) for number in random.sample(range(10, 90 * count), count)]


async def hosts(look: Look, who: Iterable[str]) -> dict[str, NatsClient]:
    """A connection of its own for each name, as on machines of their own."""
    return {name: await look.connect() for name in who}


# --- the learner's function --------------------------------------------------------------------


@dataclass(frozen=True)
class Called:
    """How a call of the learner's function ended: its value, or the problem, after so many seconds."""

    value: Any
    problem: str
    took: float


def function(look: Look, name: str, answer: Any) -> Callable[..., Awaitable[Any]]:
    """The learner's `async def`, which the check was given; "not yet" where it was given none."""
    if inspect.iscoroutine(answer):
        answer.close()
        look.need(False, "called already", name=name)
    call = getattr(answer, "__call__", None)  # noqa: B004 - an object that is called is as good
    look.need(any(map(inspect.iscoroutinefunction, (answer, call))), "no function", name=name)
    return cast("Callable[..., Awaitable[Any]]", answer)


async def call(name: str, function: Callable[..., Awaitable[Any]], *arguments: Any) -> Called:
    """Call the learner's function in the notebook's loop, for 10 s at most, whatever it does."""
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError as misfit:  # not the parameters that it is called with
        return Called(None, f"{name} cannot be called as the exercise says: {misfit}", 0.0)

    async def guarded() -> Any:
        try:
            return await function(*arguments)
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit) as end:
            if given_up:  # cancelled from here
                raise
            raise RuntimeError(type(end).__name__) from end  # else it would end check or kernel

    began, given_up = time.monotonic(), False
    with _interrupted_when_held():
        task = asyncio.ensure_future(guarded())
        await asyncio.wait({task}, timeout=CALL_TIMEOUT)
        if given_up := not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=1)
    if given_up:
        waits = f"{name} did not come back within {CALL_TIMEOUT:g} s; what does it wait for?"
        return Called(None, waits, CALL_TIMEOUT)
    error, took = task.exception(), time.monotonic() - began
    return Called(None, _told(name, error), took) if error else Called(task.result(), "", took)


def _told(name: str, error: BaseException) -> str:
    """What the learner's function raised, on one line and not too long."""
    error = error.__cause__ if isinstance(error.__cause__, BaseException) else error
    text = " ".join(f"{name} raised {type(error).__name__}: {error}".split())[:300]
    empty = isinstance(error, json.JSONDecodeError) and not error.doc
    nobody = ". It read an empty message: that is how the server answers where nobody listens"
    return text + nobody if empty else text


class HeldError(Exception):
    """Raised inside code that has held the event loop for too long."""


@contextlib.contextmanager
def _interrupted_when_held() -> Iterator[None]:
    """Meanwhile, raise HeldError in whatever holds the main thread's event loop for 5 s.

    An alarm that a task puts off again and again; without one (Windows) such a call cannot be ended.
    """
    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def held(*_: object) -> None:
        raise HeldError(f"it held the event loop for {HELD_TIMEOUT:g} s, without an await")

    async def put_off() -> None:
        while True:
            signal.setitimer(signal.ITIMER_REAL, HELD_TIMEOUT)
            await asyncio.sleep(HELD_TIMEOUT / 10)

    left, _ = signal.getitimer(signal.ITIMER_REAL)
    before, task = signal.signal(signal.SIGALRM, held), asyncio.ensure_future(put_off())
    try:
        yield
    finally:
        task.cancel()
        signal.setitimer(signal.ITIMER_REAL, left)
        signal.signal(signal.SIGALRM, before)


async def call_in_thread(
    name: str, function: Callable[..., Any], *arguments: Any, limit: float
) -> Called:
    """Call the learner's plain function beside the event loop, for `limit` seconds at most.

    In a daemon thread: one that never ends must not keep the kernel from ending, and is told to.
    """
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    ended, began = [], time.perf_counter()

    def run() -> None:
        try:
            value, problem = function(*arguments), ""
        except BaseException as error:  # noqa: BLE001 - whatever it raises is told to the learner
            value, problem = None, _told(name, error)
        ended.append(Called(value, problem, time.perf_counter() - began))
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(done.set)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        await asyncio.wait_for(done.wait(), limit)
    except TimeoutError:
        ident = ctypes.c_ulong(thread.ident or 0)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(SystemExit))
        waits = "does it wait for an answer that the server does not give?"
        return Called(None, f"{name} did not come back within {limit:g} s; {waits}", limit)
    return ended[0]


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


async def ask_all(look: Look, subject: str, payloads: list[bytes]) -> dict[bytes, list[Any]]:
    """Send all these questions, and gather all the answers to each."""
    client = await look.connect()
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


@dataclass
class Standstill:
    """The longest time, in seconds, for which the event loop did not run."""

    longest: float = 0.0


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


async def chaos(victims: Iterable[Server], work: asyncio.Future[Any]) -> list[str]:
    """Kill servers in turn and start each again, until the work is done; the names of the killed."""
    killed = []
    for victim in victims:
        if work.done():
            break
        await asyncio.to_thread(victim.kill)
        killed.append(victim.name)
        await asyncio.to_thread(victim.start)
    return killed


# --- the room ----------------------------------------------------------------------------------


def name_in_the_room(look: Look) -> str:
    """The learner's name, which the check was given; "not yet" where it is no name, or a neighbour's."""
    me = look.answer
    look.need(isinstance(me, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,30}", me), "name")
    look.need(me not in look.room.neighbours, "neighbour", me=me)
    return cast("str", me)


async def visitor(look: Look) -> NatsClient:
    """Somebody else in the room, once each side of the link knows what was subscribed to on the other.

    Interest crosses in the order in which it arose: when a new subject is reached, so are the older.
    """
    visitor = look.mine(await look.room.visitor(name=CLIENT_NAME))
    seat = look.mine(await look.room.connect(name=CLIENT_NAME))
    for asker, answerer in ((seat, visitor), (visitor, seat)):
        echo = await answerer.subscribe(answerer.new_inbox(), cb=_echo)
        async with asyncio.timeout(SERVICE_TIMEOUT):
            while await ask(asker, echo.subject, b"", 1) != "answered":
                await asyncio.sleep(0.005)
        await echo.unsubscribe()
    return visitor


async def _echo(message: Any) -> None:
    await message.respond(message.data)


async def ask_service(client: NatsClient, subject: str, payload: bytes = b"") -> Any:
    """What a service of the room answers. Raises LookupError with its sentence when it refuses."""
    answer = await client.request(subject, payload, timeout=SERVICE_TIMEOUT)
    if refusal := (answer.headers or {}).get(ERROR_HEADER):
        raise LookupError(f"{subject} was answered with: {refusal}")
    return json.loads(answer.data)


async def close_who_hears(look: Look, subject: str) -> None:
    """Close the learner's clients at their own server that hear this subject."""
    hearing = {subscription.cid for subscription in await look.hearing(subject, look.room.seat)}
    for client in look.lab.clients.connected(look.room.seat.url):
        if client.client_id in hearing and client.options["name"] != CLIENT_NAME:
            await client.close()
