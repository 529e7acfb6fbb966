"""Checks of notebook 21: services, as their callers see them and as they describe themselves."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import Any

from labkit.course import play
from labkit.course.look import Clients, Look
from labkit.course.wording import shortened
from labkit.servers import discovery
from labkit.servers.discovery import Instance
from labkit.servers.programs import Program

NOT_ORDERS = [b"", b"two teas", b"[]", b"null", b'{"count": 2}', b'{"dish": "tea"}']
NOT_ORDERS += [b'{"dish": "tea", "count": "some"}', b'{"dish": "tea", "count": null}']
EACH = 20  # requests for each thing; with three things, no instance misses all of them by chance


@dataclass(frozen=True)
class Wanted:
    """What a request must get: an error of this code, or none, and this payload where it is given."""

    key: str  # of the sentence that tells it
    code: str = ""
    data: bytes | None = None


async def serves_favourites(look: Look) -> None:
    """Asks for what the learner's dictionary holds, with an entry of the check's own and without it."""
    host, mine = await look.client("host"), look.answer
    look.need(isinstance(mine, dict), "mine")
    service = await _service(look, host, "favourites")
    copied = "copied" if service.owner == "ada" else ""
    look.expect(service.owner.strip() and not copied, "owner", wrong=copied)
    await _serves(look, host, service, {"list": "mine.list", "get": "mine.get"})
    extra, value, *unknown = play.names(4, but=[str(thing) for thing in mine if thing])
    mine[extra] = value
    try:
        found = await _favourites(look, mine, unknown)
    finally:
        mine.pop(extra, None)
    later = await _favourites(look, mine, [extra])
    fits_now = not any(later.values())  # wrong only while the entry was there: an old answer
    for key, cases in found.items():
        kept = key == "unknown" and not cases  # the entry is gone, and has an answer
        wrong = "stale" if kept or (fits_now and key in ("list", "get")) else ""
        cases = list(dict.fromkeys(cases + later.get(key, [])))
        look.expect(not cases, key, wrong=_text_as_payload(cases) or wrong, cases=cases)


async def _favourites(look: Look, mine: dict[Any, Any], unknown: list[str]) -> dict[str, list[str]]:
    """What was wrong with the answers to one round of requests."""
    texts = {t: f for t, f in mine.items() if isinstance(t, str) and isinstance(f, str)}
    wanted = {t.encode(): Wanted("get", data=f.encode()) for t, f in texts.items()}
    wanted |= {thing.encode(): Wanted("unknown", "404") for thing in unknown}
    asked = play.chance.sample([*wanted], len(wanted))
    gets, listed = await asyncio.gather(
        play.ask_all(look, "mine.get", asked), play.ask_all(look, "mine.list", [b""])
    )
    wrong, lists = _judged(wanted, gets, "mine.get "), listed[b""]
    if len(lists) != 1:
        wrong["once" if lists else "all"].append("mine.list")
    strange = [answer for answer in lists[:1] if _listed(answer) != sorted(map(str, mine))]
    wrong["list"] = [f"mine.list got {_described(answer)}" for answer in strange]
    return wrong


async def tells_errors(look: Look) -> None:
    """Orders what is on the menu, what is not, what has no price, and nonsense; reads the statistics."""
    cafe, menu = await look.client("cafe"), look.answer
    look.need(isinstance(menu, dict), "menu")
    service = await _service(look, cafe, "cafe")
    await _serves(look, cafe, service, {"order": "cafe.order"})
    *dishes, unpriced, one, other = play.names(5, but=[str(dish) for dish in menu if dish])
    prices = {dish: play.chance.randint(3, 900) for dish in dishes}
    orders = {(dish, count): price * count for dish, price in prices.items() for count in (1, 7)}
    wanted = {_order(*o): Wanted("totals", data=b"%d" % total) for o, total in orders.items()}
    wanted |= {_order(dish, 1): Wanted("404", "404") for dish in (one, other)}
    wanted |= {order: Wanted("400", "400") for order in NOT_ORDERS}
    wanted |= {_order(unpriced, count): Wanted("500", "500") for count in (1, 2)}
    before, added = await _errors(look, service), {**prices, unpriced: None}
    menu.update(added)
    names = [str(dish) for dish in menu]
    try:
        asked = play.chance.sample([*wanted], len(wanted))
        answers = await play.ask_all(look, "cafe.order", asked)
    finally:
        for dish in added:
            menu.pop(dish, None)
    counted = await _errors(look, service) - before
    wrong, answered = _judged(wanted, answers), sum(map(bool, answers.values()))
    kept = "kept" if all("got error 404" in case for case in wrong["totals"]) else ""
    causes = {
        "totals": _text_as_payload(wrong["totals"]) or kept,
        "500": "blamed" if any("got error 400" in case for case in wrong["500"]) else "",
    }
    for key, cases in wrong.items():
        look.expect(not cases, key, wrong=causes.get(key, ""), cases=cases, asked=wanted)
        if not answered:
            return
    for code, key, words in (("404", "names", names), ("400", "form", ["dish", "count"])):
        texts = [_text(a) for found in answers.values() for a in found if _code(a) == code]
        poor = [text for text in texts if not all(word in text for word in words)]
        if texts:
            look.expect(not poor, key, poor=poor, names=names)
    errors = sum(bool(_code(answer)) for found in answers.values() for answer in found)
    look.expect(counted == errors, "counted", counted=counted, errors=errors)


def _judged(
    wanted: dict[bytes, Wanted], answers: dict[bytes, list[Any]], subject: str = ""
) -> dict[str, list[str]]:
    """What was wrong, a text for each case, by the key of its sentence."""
    wrong: dict[str, list[str]] = {key: [] for key in ("all", "once")}
    for payload, want in wanted.items():
        found, shown = answers[payload], subject + (payload.decode() or "an empty message")
        cases = wrong.setdefault(want.key, [])
        if len(found) != 1:
            wrong["once" if found else "all"].append(shown)
        if found and (_code(found[0]) != want.code or want.data not in (None, found[0].data)):
            cases.append(f"{shown} got {_described(found[0])}")
    return wrong


def _text_as_payload(cases: list[str]) -> str:
    """The sentence for a handler that answers a str: nats-py raises, and nats.micro makes it a 500."""
    return "bytes" if any("got error 500" in c and "str to bytes" in c for c in cases) else ""


def _order(dish: str, count: int) -> bytes:
    return json.dumps({"dish": dish, "count": count}).encode()


async def _errors(look: Look, service: Instance) -> int:
    """How many errors the endpoints of this instance have counted."""
    return sum(i.errors for i in await look.instances(service.name) if i.id == service.id)


async def runs_two_versions(look: Look) -> None:
    """Finds both versions, each by itself; sends requests that they share, and counts who handled them."""
    old = look.answer
    look.need(isinstance(old, Program), "old")
    look.must(old.alive, "gone")
    found = {i.id: i for i in await look.instances("favourites") if not _serves_mine(i)}
    new = [id for id, instance in found.items() if instance.version == "1.1.0"]
    if not new:
        runs = await _runs(look, await look.client("newer"), await look.instances())
        look.must(False, "none", runs=[f"{i.name} {i.version}" for i in runs])
    look.must(len(new) == 1, "new", count=len(new))
    before = [id for id in found if id in old.said]
    look.must(before, "silent")
    both = [*before, *new]
    pings = await asyncio.gather(*(look.said("PING", "favourites", id) for id in both))
    look.expect([[s["id"] for s in said] for said in pings] == [[id] for id in both], "found")
    lists = (await play.ask_all(look, "favourites.list", EACH * [b""]))[b""]
    look.must(things := next(filter(None, map(_listed, lists)), []), "list")
    unknown = play.names(1, but=things)[0]
    asked = [thing.encode() for thing in (*things, unknown) for _ in range(EACH)]
    handled = await _handled(look, both)
    answers = await play.ask_all(look, "favourites.get", play.chance.sample(asked, len(asked)))
    after = await _handled(look, both)
    share = {id: after[id] - handled[id] for id in both}
    came = sum(map(len, answers.values()))
    look.must(came <= len(asked), "copied", asked=asked, came=came)
    look.expect(came == len(asked), "all", asked=asked, came=came)
    look.expect(all(share.values()), "shared", wrong="" if share[new[0]] else "idle", asked=asked)
    seen = {p.decode(): {_described(a) for a in told} for p, told in answers.items()}
    cases = [f"{t} got {' and '.join(sorted(seen[t]))}" for t in things if len(seen[t]) > 1]
    strange = [a for a in answers[unknown.encode()] if _code(a) != "404"]
    cases += [f"{unknown}, which nobody likes, got {_described(a)}" for a in strange[:1]]
    look.expect(not cases, "same", cases=cases)
    counts = (await play.ask_all(look, "favourites.count", [b""]))[b""]
    right = [answer.data for answer in counts] == [str(len(things)).encode()]
    look.expect(right, "count", things=things, got=[_described(a) for a in counts])


def _listed(answer: Any) -> list[str]:
    """The names in a JSON list, sorted; [] where the answer is no such list."""
    with contextlib.suppress(ValueError):
        things = json.loads(answer.data)
        if isinstance(things, list) and all(isinstance(thing, str) for thing in things):
            return sorted(things)
    return []


def _serves_mine(instance: Instance) -> bool:
    """Whether it is the service of exercise 2.1, which has the same name."""
    return any(endpoint.subject.startswith("mine.") for endpoint in instance.endpoints)


async def _handled(look: Look, ids: list[str]) -> dict[str, int]:
    """How many requests on favourites.get each of these instances has counted."""
    counts = dict.fromkeys(ids, 0)
    for instance in await look.instances("favourites"):
        got = [e.requests for e in instance.endpoints if e.subject == "favourites.get"]
        if instance.id in counts:
            counts[instance.id] = sum(got)
    return counts


# --- what services say of themselves -----------------------------------------------------------


async def _runs(look: Look, client: Clients, found: list[Instance]) -> list[Instance]:
    """Those of the services that run on this client: nobody else hears what is asked of that instance."""
    asked = [discovery.subject("INFO", i.name, i.id) for i in found]
    heard = await asyncio.gather(*(look.hearing(subject) for subject in asked))
    return [i for i, subs in zip(found, heard, strict=True) if {s.cid for s in subs} <= client.cids]


async def _service(look: Look, client: Clients, name: str) -> Instance:
    """The one service of this name that this client runs; ends the check where it runs none, or two."""
    found = await _runs(look, client, await look.instances(name))
    if not found:
        others = await _runs(look, client, await look.instances())
        look.must(False, "nameless", client=client.name, names=[i.name for i in others])
    look.must(len(found) == 1, "service", count=len(found), client=client.name)
    return found[0]


async def _serves(look: Look, client: Clients, service: Instance, wanted: dict[str, str]) -> None:
    """End the check unless it has these endpoints, and nobody else is on their subjects."""
    has = {endpoint.name: endpoint.subject for endpoint in service.endpoints}
    right = wanted.items() <= has.items()
    shown = [f"{name} on {subject}" for name, subject in has.items()]
    look.must(right, "endpoints", wanted=[f"{n} on {s}" for n, s in wanted.items()], has=shown)
    for subject in wanted.values():
        await look.alone(subject, client.cids)


def _code(answer: Any) -> str:
    return str((answer.headers or {}).get("Nats-Service-Error-Code", ""))


def _text(answer: Any) -> str:
    return str((answer.headers or {}).get("Nats-Service-Error", ""))


def _described(answer: Any) -> str:
    error = f"error {_code(answer)} ({_text(answer)})"
    return error if _code(answer) else shortened(answer.data)
