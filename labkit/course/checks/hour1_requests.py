"""Checks of hour 1: requests, queue groups and scatter-gather, as a caller and the server see them."""

from __future__ import annotations

import asyncio
import inspect
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from labkit.course.checks.hour1 import (
    ANEW,
    connections,
    errors_since,
    expect_subscribed,
    hears,
    newest_error,
    raised,
)
from labkit.course.exercises import Look, exercise

ANSWER_TIMEOUT = 2.0  # seconds for an answer that takes a responder no time
TOTALS = {("A-7", 3): "24360", ("B-2", 1): "1990"}  # of the notebook's `prices`, in cents
BAD_ORDERS = (
    b"",
    b"three apples",
    b'{"quantity": 3}',
    b'{"sku": "A-7", "quantity": "some"}',
    b"[]",
)

REQUESTS = 2000
AT_ONCE = 100  # requests under way at any moment
ANSWERED_BEFORE_DRAIN = 500
REQUEST_TIMEOUT = 3.0  # seconds; a worker needs 0.1 for all that waits for it
CALL_TIMEOUT = 10.0  # seconds for a function of the learner's to come back

DEADLINE = 1.0  # seconds that the stores are given
IN_TIME = {"ghent": 0.0, "malmo": 0.3, "porto": 0.6}  # seconds until a store answers
LATE = {"turin": 1.4}  # within a second of the one before: a deadline begun anew each time takes it
SILENT = "york"
PATIENT = 5.0  # seconds, a deadline that nobody should need
LONGEST_SHOWN = 60  # characters of a value in a sentence
HURRY = 2.0  # seconds; all answers are there at once


def listening(open_connections: list[dict[str, Any]], subject: str) -> list[dict[str, Any]]:
    """The subscriptions on this subject, as the server describes them, each with its `cid`."""
    return [
        subscription
        for connection in open_connections
        for subscription in connection.get("subscriptions_list_detail", [])
        if subscription["subject"] == subject
    ]


async def others_on(look: Look, subject: str, but: Collection[int]) -> list[str]:
    """The names of the clients that listen on this subject, but for these connections."""
    server = next(iter(look.lab.values()))
    found = await asyncio.to_thread(server.monitor, "connz", subs="detail")
    return [
        connection.get("name") or f"client {connection['cid']}"
        for connection in found["connections"]
        if connection["cid"] not in but and listening([connection], subject)
    ]


def subjects_of(open_connections: list[dict[str, Any]]) -> list[str]:
    """The subjects that these connections listen on, one for each subscription."""
    return [
        subscription["subject"]
        for connection in open_connections
        for subscription in connection.get("subscriptions_list_detail", [])
    ]


async def called(function: Callable[..., Awaitable[Any]], *arguments: Any) -> tuple[Any, str]:
    """What the learner's function returned, or why it did not: (value, "") or (None, problem)."""
    name = getattr(function, "__name__", "your function")
    try:
        task = asyncio.ensure_future(function(*arguments))
    except TypeError as misfit:  # not the parameters that it is called with
        return None, f"{name} cannot be called as the exercise says: {misfit}"
    await asyncio.wait({task}, timeout=CALL_TIMEOUT)
    if not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=1)
        return None, f"{name} did not come back within {CALL_TIMEOUT:g} s; what does it wait for?"
    error = task.exception()
    if error is None:
        return task.result(), ""
    empty = isinstance(error, json.JSONDecodeError) and not error.doc
    return None, f"{name} raised {type(error).__name__}: {error}" + (
        ". It read an empty message: that is how the server answers where nobody listens"
        if empty
        else ""
    )


def function_of(look: Look, name: str) -> Callable[..., Awaitable[Any]]:
    """The learner's `async def`, which the check was given; ends the check when it was given none."""
    if inspect.iscoroutine(look.answer):
        look.answer.close()
        look.not_attempted(f"pass the function itself, without parentheses: {name}, not {name}()")
    if not inspect.iscoroutinefunction(look.answer):
        look.not_attempted(f"write the function: async def {name}(…)")
    function: Callable[..., Awaitable[Any]] = look.answer
    return function


# --- 1.4 ---------------------------------------------------------------------------------------


@exercise(
    "1.4",
    title="A responder that reports errors",
    notebook="12",
    hints=(
        "Three endings: the total, 404, 400. Take the order apart inside a `try`, the quantity with "
        "`int(...)`; whatever goes wrong there is a 400. Whether the sku is among the prices is a "
        "question for afterwards.",
        "`json.loads` and `int` raise ValueError, a missing key KeyError, an order that is no object "
        "TypeError. After `await refuse(...)` leave the callback with `return`.",
    ),
)
async def reports_errors(look: Look) -> None:
    """Asks for totals, for what has no price, and for nonsense; looks at each answer's headers."""
    from nats.errors import NoRespondersError

    open_ones = await connections(look, "pricing")
    await expect_subscribed(look, "pricing", open_ones)
    if not await hears(look, "pricing", "price.total"):
        return
    found = [s for s in subjects_of(open_ones) if "_INBOX." not in s]
    look.expect(
        len(found) == 1,
        "pricing has one subscription",
        f"pricing has {len(found)} subscriptions, and each answers: {', '.join(found)}. {ANEW}",
    )
    others = await others_on(look, "price.total", {c["cid"] for c in open_ones})
    if others:
        look.expect(False, "", f"{', '.join(others)} answers on price.total too. {ANEW}")
        return
    caller = await look.connect()
    last = newest_error(look)

    async def ask(order: bytes) -> Any:
        try:
            return await caller.request("price.total", order, timeout=ANSWER_TIMEOUT)
        except (NoRespondersError, TimeoutError):
            return None

    orders = [json.dumps({"sku": sku, "quantity": n}).encode() for sku, n in TOTALS]
    unknown = b'{"sku": "Z-9", "quantity": 1}'
    asked = [*orders, unknown, *BAD_ORDERS, *orders]
    answers = list(zip(asked, await asyncio.gather(*map(ask, asked)), strict=True))
    silent = [order for order, answer in answers if answer is None]
    look.expect(
        not silent,
        f"{len(asked)} questions, {len(asked)} answers",
        f"no answer to {_quoted(silent)}{_why_silent(look, last)}",
    )
    if len(silent) == len(asked):
        return
    wanted = {order: total for order, total in zip(orders, TOTALS.values(), strict=True)}
    wrong = {
        f"{order.decode()} got {_described(answer)}, not {wanted[order]}": order
        for order, answer in answers
        if order in wanted
        and answer
        and (_code(answer) or answer.data.decode(errors="replace") != wanted[order])
    }
    if any(answer for order, answer in answers if order in wanted):
        look.expect(not wrong, "the totals are right", f"not the right total: {'; '.join(wrong)}")
    _expect_code(look, "404", "an unknown sku", [a for a in answers if a[0] == unknown])
    _expect_code(look, "400", "what is no order", [a for a in answers if a[0] in BAD_ORDERS])


def _expect_code(look: Look, code: str, what: str, answers: list[tuple[bytes, Any]]) -> None:
    """Expect each answer that came to be an error of this code, with a text."""
    wrong = [
        f"{order.decode() or '(nothing)'} got {_described(answer)}"
        for order, answer in answers
        if answer
        and (_code(answer) != code or not (answer.headers or {}).get("Nats-Service-Error"))
    ]
    came = any(answer for _, answer in answers)
    look.expect(
        came and not wrong,
        f"{what} gets error {code}, with a text",
        f"{what} must get the headers Nats-Service-Error and Nats-Service-Error-Code: {code}; "
        + ("; ".join(wrong) or "it got no answer"),
    )


def _code(answer: Any) -> str:
    return str((answer.headers or {}).get("Nats-Service-Error-Code", ""))


def _described(answer: Any) -> str:
    data = shortened(answer.data)
    return f"the headers {answer.headers}" if answer.headers else f"{data} without headers"


def shortened(value: Any) -> str:
    """A value as a line of a check shows it: whole where it is short."""
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def _quoted(orders: list[bytes]) -> str:
    return ", ".join(order.decode() or "an empty message" for order in dict.fromkeys(orders))


def _why_silent(look: Look, last: Any) -> str:
    """Why there was no answer: what the callback raised since `last`, or what it may have left out."""
    return raised([e for e in errors_since(look, last) if e.client == "pricing"]) or (
        "; does the callback return without answering, or without `await` before respond or refuse?"
    )


# --- 1.5 ---------------------------------------------------------------------------------------


@dataclass
class Load:
    """Requests that a check sends, `AT_ONCE` at a time, and how each of them ended."""

    caller: Any
    ended: Counter[str] = field(default_factory=Counter)
    enough: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def hopeless(self) -> bool:
        """Whether requests have ended, and none of them with an answer."""
        return self.ended.total() > 0 and not self.ended["answered"]

    async def run(self) -> None:
        """Send all requests; returns when the last has been answered or given up, or none ever is."""
        numbers = iter(range(REQUESTS))

        async def one_after_another() -> None:
            for number in numbers:
                self.ended[await self._request(number)] += 1
                if self.hopeless:
                    break
                if self.ended.total() >= ANSWERED_BEFORE_DRAIN:
                    self.enough.set()
            self.enough.set()

        await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE)))

    async def _request(self, number: int) -> str:
        from nats.errors import NoRespondersError

        picture = f"picture {number}".encode()
        try:
            answer = await self.caller.request("resize", picture, timeout=REQUEST_TIMEOUT)
        except NoRespondersError:
            return "no responders"
        except TimeoutError:
            return "timeout"
        return "answered" if answer.data == b"small " + picture else "wrong answer"


@exercise(
    "1.5",
    title="One of three leaves",
    notebook="12",
    hints=(
        "Three subscriptions on the same subject share the work when all name the same queue group. "
        "One of the two ways to leave that you saw loses nothing.",
        '`await worker.subscribe("resize", queue="resizers", cb=resize)` for each worker; '
        "`drain_one` awaits the `drain()` of one of them.",
    ),
)
async def drained_under_load(look: Look) -> None:
    """Sends the requests, calls the learner's function meanwhile, and counts at the server."""
    drain_one = function_of(look, "drain_one")
    before = [c for n in (1, 2, 3) for c in await connections(look, f"worker-{n}")]
    workers = {s["cid"]: s["msgs"] for s in listening(before, "resize")}
    if not workers:
        look.not_attempted("none of worker-1, worker-2, worker-3 listens on resize yet")
    if not look.expect(
        len(workers) == 3,
        "three workers listen on resize",
        f"{len(workers)} workers listen on resize, not three. {ANEW}",
    ):
        return
    others = await others_on(look, "resize", workers.keys())
    if not look.expect(
        not others,
        "and nobody else",
        f"{', '.join(others)} listens on resize too, and takes requests from the three. {ANEW}",
    ):
        return
    load, last = Load(await look.connect()), newest_error(look)
    sending = asyncio.create_task(load.run())
    await load.enough.wait()
    if load.hopeless:
        await sending
        look.expect(
            False,
            "",
            f"none of the first {load.ended.total()} requests was answered as resize does it; did you "
            f"subscribe with cb=resize?{raised(errors_since(look, last))}",
        )
        return
    _, problem = await called(drain_one)
    await sending
    still = await _subscribed(look)
    left = workers.keys() - still

    look.expect(not problem, "drain_one came back", problem)
    look.expect(
        len(left) == 1,
        "one worker left while the requests came, the others stayed",
        f"{len(left) or 'none'} of the workers left, where one was to leave",
    )
    _expect_shared(look, {c: n - workers[c] for c, n in (await _delivered(look, workers)).items()})
    look.expect(
        load.ended["answered"] == REQUESTS,
        f"{REQUESTS:,} of {REQUESTS:,} requests were answered",
        _lost(load.ended),
    )


async def _subscribed(look: Look) -> set[int]:
    """The connections that listen on resize now."""
    await look.lab.clients.settle()
    found = [c for n in (1, 2, 3) for c in await connections(look, f"worker-{n}")]
    return {s["cid"] for s in listening(found, "resize")}


async def _delivered(look: Look, workers: dict[int, int]) -> dict[int, int]:
    """Messages that the server has sent to each of these connections, open or closed."""
    server = next(iter(look.lab.values()))
    found = await asyncio.to_thread(server.monitor, "connz", state="all")
    return {c["cid"]: c["out_msgs"] for c in found["connections"] if c["cid"] in workers}


def _expect_shared(look: Look, delivered: dict[int, int]) -> None:
    total, busy = sum(delivered.values()), sum(n > 0 for n in delivered.values())
    if total > REQUESTS:
        wrong = (
            f"{REQUESTS:,} requests were delivered {total:,} times: more than one worker got each of "
            "them. Is queue= missing, or not the same for all?"
        )
    else:
        wrong = f"only {busy} of {len(delivered)} workers got any request"
    look.expect(
        total <= REQUESTS and busy == len(delivered),
        "the requests were shared out, each went to one worker",
        wrong,
    )


def _lost(ended: Counter[str]) -> str:
    """The sentence for requests that did not get what they asked for."""
    if ended["no responders"]:
        return f"{ended['no responders']:,} requests found nobody: did all workers leave?"
    if ended["timeout"]:
        return (
            f"{ended['timeout']:,} of {REQUESTS:,} requests got no answer: they were waiting at the "
            "worker that left, and went with it. Did it drain, and had it handled all by then?"
        )
    return f"{ended['wrong answer']:,} answers are not those of resize"


# --- 1.6 ---------------------------------------------------------------------------------------


@dataclass
class Stores:
    """The stores that a check plays: when each answers, what they heard, and when."""

    client: Any
    delays: dict[str, float | None]  # seconds; None: never
    heard: list[Any] = field(default_factory=list)
    answered: dict[str, float] = field(default_factory=dict)  # seconds after the question
    _began: float = 0.0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def open(self) -> Any:
        """Listen for the question; returns the subscription."""

        async def hear(message: Any) -> None:
            self.heard.append(message)
            self._began = self._began or time.monotonic()
            for name, delay in self.delays.items():
                if delay is not None and message.reply:
                    self._tasks.add(asyncio.create_task(self._answer(message, name, delay)))

        subscription = await self.client.subscribe("stock.count", cb=hear)
        await self.client.flush()
        return subscription

    async def _answer(self, message: Any, name: str, delay: float) -> None:
        await asyncio.sleep(delay)
        self.answered.setdefault(name, time.monotonic() - self._began)
        text = json.dumps({"store": name, "stock": len(name)})
        await self.client.publish(message.reply, text.encode())

    async def close(self) -> None:
        """Answer no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@exercise(
    "1.6",
    title="Scatter, gather, and who is missing",
    notebook="12",
    hints=(
        "One question, published with your own inbox as its reply subject; then collect until the "
        "names are all there or the time is over. The deadline is a moment: how long is it until "
        "then, each time you wait?",
        "`inbox = nc.new_inbox()`, subscribe to it, publish with `reply=inbox`. Then "
        "`async with asyncio.timeout(deadline)` around all of the receiving, its TimeoutError caught. "
        "Who is silent: `set(names) - answers.keys()`.",
    ),
)
async def scatter_gather(look: Look) -> None:
    """Plays five stores, some late or silent, and compares what the function says with what they did."""
    ask = function_of(look, "ask_stores")
    probe = await look.connect()
    answered = {**IN_TIME, **LATE, SILENT: None}
    stores, value, took, problem = await _asked(ask, Stores(probe, answered), DEADLINE)
    if not look.expect(not problem, "ask_stores came back", problem):
        return
    pair = _pair(value)
    if not look.expect(
        pair is not None,
        "with the answers and the silent",
        f"it returned {shortened(value)}; return two things: a dictionary of store and stock, and the names "
        "of those who did not answer",
    ):
        return
    answers, silent = pair or ({}, set())
    look.expect(
        len(stores.heard) == 1,
        "one message asked all of them",
        f"the stores heard {len(stores.heard)} questions; one message on stock.count reaches all",
    )
    _expect_answers(look, stores, answers, silent)
    look.expect(
        took < DEADLINE + HURRY,
        "it came back at the deadline",
        f"the deadline was {DEADLINE:g} s, and it came back after {took:.1f} s",
    )
    await _expect_no_inbox(look, stores)
    everybody: dict[str, float | None] = dict.fromkeys(answered, 0.0)
    _, value, took, problem = await _asked(ask, Stores(probe, everybody), PATIENT)
    look.expect(
        not problem and took < HURRY,
        "and at once when all had answered",
        problem or f"all stores had answered at once, and it waited {took:.1f} s for nobody",
    )


async def _asked(
    ask: Callable[..., Awaitable[Any]], stores: Stores, deadline: float
) -> tuple[Stores, Any, float, str]:
    """Let the learner's function ask these stores: them, its value, its seconds, its problem."""
    subscription = await stores.open()
    began = time.monotonic()
    value, problem = await called(ask, sorted(stores.delays), deadline)
    took = time.monotonic() - began
    await stores.close()
    await subscription.unsubscribe()
    await stores.client.flush()
    return stores, value, took, problem


def _pair(value: Any) -> tuple[dict[Any, Any], set[Any]] | None:
    """The function's value as answers and silent names, in whatever collection they stand."""
    if not (isinstance(value, (tuple, list)) and len(value) == 2 and isinstance(value[0], dict)):
        return None
    answers, silent = value
    if not isinstance(silent, (set, frozenset, list, tuple)):
        return None
    return answers, {name if isinstance(name, str) else shortened(name) for name in silent}


def _expect_answers(look: Look, stores: Stores, answers: dict[Any, Any], silent: set[Any]) -> None:
    missed = sorted(IN_TIME.keys() - answers.keys())
    look.expect(
        not missed,
        f"{', '.join(IN_TIME)} answered in time and are there",
        f"answered in time and are not among your answers: {', '.join(missed)}. "
        "`request` takes the first answer only",
    )
    strange = [
        f"{shortened(n)}: {shortened(answers[n])}" for n in answers if answers[n] != len(str(n))
    ]
    look.expect(
        not strange,
        "each with its stock",
        f"the stores said otherwise than {', '.join(strange)}; "
        'an answer is {"store": …, "stock": …}, keep the number',
    )
    late = [name for name in LATE if name in answers]
    look.expect(
        not late,
        f"{', '.join(LATE)} was late and is not",
        f"{', '.join(late)} answered {stores.answered.get(next(iter(LATE)), 0):.1f} s after the "
        f"question, and the deadline was {DEADLINE:g} s. Does each wait begin it anew?",
    )
    wanted = {*LATE, SILENT}
    look.expect(
        silent == wanted,
        f"{', '.join(sorted(wanted))} are named as silent",
        f"silent were {', '.join(sorted(wanted))}, you named {', '.join(sorted(map(str, silent))) or 'nobody'}",
    )


async def _expect_no_inbox(look: Look, stores: Stores) -> None:
    """Expect that no subscription waits for further answers."""
    await look.lab.clients.settle()
    server = next(iter(look.lab.values()))
    found = await asyncio.to_thread(server.monitor, "connz", subs="detail")
    inboxes = {message.reply for message in stores.heard}
    left = [i for i in inboxes if listening(found["connections"], i)]
    look.expect(
        not left,
        "its inbox is gone from the server",
        "the server still lists a subscription on your inbox: unsubscribe when you are done",
    )
