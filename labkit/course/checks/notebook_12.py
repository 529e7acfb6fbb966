"""Checks of notebook 12: requests, queue groups and scatter-gather, as a caller and the server see them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from labkit.course import play
from labkit.course.calling import call
from labkit.course.look import Look
from labkit.course.wording import shortened
from labkit.servers.observe import Subscription

PRICES = {"A-7": 8120, "B-2": 1990}  # of the notebook, in cents
NOT_ORDERS = [b"", b"three apples", b'{"quantity": 3}', b'{"sku": "A-7", "quantity": "some"}']
NOT_ORDERS += [b'{"sku": "B-2", "quantity": null}', b"[]", b"null"]
REQUESTS, PROBES = 2000, 12
REQUEST_TIMEOUT, PROBE_TIMEOUT = 3.0, 1.0  # seconds; a worker needs 0.1 for all that waits for it
DELAYS = (0.0, 0.2, 0.4, 1.1, None)  # seconds until a store answers, if it does
DEADLINES = (0.7, 0.9)  # with a deadline begun anew at each answer, the fourth store is in time
LATE_BY = 0.5  # seconds after the deadline that a busy machine may need
PATIENT = 3.0  # seconds, a deadline that nobody should need


async def reports_errors(look: Look) -> None:
    """Asks for totals, for what has no price, and for nonsense; counts answers, reads their headers."""
    pricing = await look.client("pricing")
    found = [s.subject for s in await pricing.on("price.total", must=True)]
    look.expect(len(found) == 1, "one", found=found)
    await look.alone("price.total", pricing.cids)
    pieces = [(sku, n) for sku in PRICES for n in (1, 3, play.chance.randint(4, 90))]
    unknown = [_order("Z-9", 1), _order(play.names(1)[0], 2)]
    totals = {_order(sku, n): str(PRICES[sku] * n).encode() for sku, n in pieces}
    asked = [*totals, *unknown, *NOT_ORDERS]
    answers = await play.ask_all(look, "price.total", play.chance.sample(asked, len(asked)))
    silent = [_shown(order) for order in asked if not answers[order]]
    look.expect(not silent, "all", asked=asked, silent=silent)
    if len(silent) == len(asked):
        return
    twice = [_shown(order) for order in asked if len(answers[order]) > len(found)]
    look.expect(not twice, "once", twice=twice)
    firsts = {order: found[0] for order, found in answers.items() if found}
    wrong = [
        f"{order.decode()} got {_described(firsts[order], '')}, not {total.decode()}"
        for order, total in totals.items()
        if order in firsts and (firsts[order].headers or firsts[order].data != total)
    ]
    look.expect(not wrong, "totals", cases=wrong)
    kinds = ("404", "an unknown sku", unknown), ("400", "a request that isn't an order", NOT_ORDERS)
    for code, what, orders in kinds:
        got = {_shown(order): firsts[order] for order in orders if order in firsts}
        wrong = [f"{o} got {_described(a)}" for o, a in got.items() if not _refused(a, code)]
        if got:
            look.expect(not wrong, "code", what=what, code=code, cases=wrong)


def _order(sku: str, quantity: int) -> bytes:
    return json.dumps({"sku": sku, "quantity": quantity}).encode()


def _shown(order: bytes) -> str:
    return order.decode() or "an empty message"


def _refused(answer: Any, code: str) -> bool:
    said = (answer.headers or {}).get
    return said("Nats-Service-Error-Code") == code and bool(said("Nats-Service-Error"))


def _described(answer: Any, bare: str = " without headers") -> str:
    headers = f"the headers {shortened(answer.headers)}"
    return headers if answer.headers else f"{shortened(answer.data)}{bare}"


async def drained_under_load(look: Look) -> None:
    """Sends the requests, calls the learner's function meanwhile, and counts at the server."""
    drain_one = play.function(look, "drain_one", look.answer)
    workers = {s.cid for s in await _resizing(look)}
    look.need(workers, "none")
    who = [c.name for c in await look.connections() if c.cid in workers]
    look.must(len(who) == 3, "three", wrong="more" if len(who) > 3 else "", who=who)
    await look.alone("resize", workers)
    caller, mark = await look.connect(), play.names(1)[0]

    async def request(number: int, timeout: float = REQUEST_TIMEOUT) -> str:
        picture = f"{mark} {number}".encode()
        return await play.ask(caller, "resize", picture, timeout, expected=b"small " + picture)

    probes = await asyncio.gather(*(request(n, PROBE_TIMEOUT) for n in range(PROBES)))
    look.must("answered" in probes, "answers", probes=PROBES)
    before = {c.cid: c for c in await look.connections()}
    load = play.Load(request, REQUESTS)
    sending = asyncio.create_task(load.run())
    await load.enough.wait()
    called = await call("drain_one", drain_one)
    await sending
    await look.lab.clients.settle()
    after = {c.cid: c for c in await look.connections(state="all")}
    left = workers - {s.cid for s in await _resizing(look)}
    got = {cid: after[cid].out_msgs - before[cid].out_msgs for cid in workers}
    delivered, busy, ended = sum(got.values()), sum(map(bool, got.values())), load.ended
    look.must(not called.problem, "called", problem=called.problem)
    look.expect(len(left) == 1, "left", wrong="" if left else "stayed", left=left)
    wrong, right = "copied" if delivered > REQUESTS else "", delivered <= REQUESTS and busy == 3
    look.expect(right, "shared", wrong=wrong, busy=busy, total=REQUESTS, delivered=delivered)
    mute = [after[cid].name for cid in workers if got[cid] and not after[cid].in_msgs]
    causes = {"mute": mute, "nobody": ended["no responders"], "lost": ended["no answer"]}
    wrong = next((cause for cause, found in causes.items() if found), "answered")
    right, causes["strange"] = ended["answered"] == REQUESTS, ended["wrong answer"]
    look.expect(right, "answered", wrong=wrong, total=REQUESTS, **causes)


async def _resizing(look: Look) -> list[Subscription]:
    """The subscriptions of the three workers that hear resize."""
    names = {f"worker-{number}" for number in (1, 2, 3)}
    workers = {c.cid for c in await look.connections() if c.name in names}
    return [s for s in await look.hearing("resize") if s.cid in workers]


async def scatter_gather(look: Look) -> None:
    """Plays stores of fresh names, some late or silent; compares what the function says with what they did."""
    ask_stores, client = play.function(look, "ask_stores", look.answer), await look.connect()
    for deadline in DEADLINES:
        look.lines.clear()  # the first round's, which were all met
        stocks = dict(zip(play.names(5), [0, *play.chance.sample(range(1, 5000), 4)], strict=True))
        stores = play.Responders(client, dict(zip(stocks, DELAYS, strict=True)), stocks)
        answers, named, took = await _asked(look, ask_stores, stores, deadline)
        in_time, silent = set(list(stocks)[:3]), set(list(stocks)[3:])
        missed, late = in_time - answers.keys(), silent & answers.keys()
        first = "first" if len(answers) == 1 and in_time > answers.keys() else "in_time"
        look.expect(not missed, "in_time", wrong=first, in_time=in_time, missed=missed)
        look.expect(not late, "late", late=late, delay=DELAYS[3], deadline=deadline)
        right = [n for n, s in answers.items() if isinstance(s, int) and s == stocks.get(n)]
        strange = {name: answers[name] for name in answers.keys() - right}
        look.expect(not strange, "stock", strange=strange)
        look.expect(named == silent, "silent", silent=silent, named=named)
        look.expect(took < deadline + LATE_BY, "back", deadline=deadline, took=took)
        if not all(met for met, _ in look.lines):
            return
    stocks = dict.fromkeys(play.names(4), 7)
    stores, said = play.Responders(client, dict.fromkeys(stocks, 0.0), stocks), list(look.lines)
    *_, took = await _asked(look, ask_stores, stores, PATIENT)
    look.lines = said
    look.expect(took < PATIENT / 2, "at_once", took=took)


async def _asked(
    look: Look, ask_stores: Any, stores: play.Responders, deadline: float
) -> tuple[dict[Any, Any], set[str], float]:
    """Let the learner's function ask these stores: the answers, the names it gave as silent, its seconds."""
    async with stores.on("stock.count"):
        called = await call("ask_stores", ask_stores, list(stores.delays), deadline)
    look.must(not called.problem, "called", problem=called.problem)
    value = called.value
    pair = isinstance(value, tuple | list) and len(value) == 2 and isinstance(value[0], dict)
    pair = pair and isinstance(value[1], set | frozenset | list | tuple)
    look.must(pair, "pair", value=value)
    heard = stores.heard
    look.must(len(heard) == 1, "one", wrong="" if heard else "unheard", heard=heard)
    await look.lab.clients.settle()
    look.must(inbox := heard[0].reply, "reply")
    look.must(all(s.subject != inbox for s in await look.hearing(inbox)), "inbox")
    return value[0], {n if isinstance(n, str) else shortened(n) for n in value[1]}, called.took


async def answers_in_capitals(look: Look) -> None:
    """Asks for capital letters with phrases of its own; asks on near subjects too, which must stay silent."""
    megaphone = await look.client("megaphone")
    await megaphone.on("shout", must=True)
    await look.alone("shout", megaphone.cids)
    asked = [f"{name.title()} opens at {play.numbers(1)[0]}".encode() for name in play.names(4)]
    answers = await play.ask_all(look, "shout", asked)
    silent = [repr(words.decode()) for words in asked if not answers[words]]
    look.must(len(silent) < len(asked), "none", asked=asked)
    look.expect(not silent, "all", asked=asked, silent=silent)
    twice = [repr(words.decode()) for words in asked if len(answers[words]) > 1]
    look.expect(not twice, "once", twice=twice)
    got = {words: found[0].data for words, found in answers.items() if found}
    wrong = [f"{w.decode()!r} got {shortened(a)}" for w, a in got.items() if a != w.upper()]
    look.expect(not wrong, "capitals", cases=wrong)
    heard = {s: await play.ask_all(look, s, asked[:1]) for s in ("Shout", "shouts", "shout.back")}
    elsewhere = [subject for subject, found in heard.items() if any(found.values())]
    look.expect(not elsewhere, "elsewhere", elsewhere=elsewhere)
