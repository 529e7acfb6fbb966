"""Checks of notebook 23: services of a whole room, as somebody else in the room finds them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import nats.micro
from nats.micro.service import ServiceError

from labkit.course import play
from labkit.course.calling import call
from labkit.course.look import CLIENT_NAME, Look
from labkit.course.wording import shortened
from labkit.servers import discovery

DEADLINE, LATE_BY = 2.0, 0.8  # seconds; the second is what a busy machine may need
SLOW, SILENT = 0.5, 30.0  # seconds until somebody answers


async def is_discoverable(look: Look) -> None:
    """Looks for the learner's service from elsewhere in the room, and asks it for everything it lists."""
    me, people, visitor = await play.in_the_room(look)
    found = await discovery.instances(visitor, "favourites")
    mine = [instance for instance in found if instance.owner == me]
    strangers = {i.owner or "(nobody)" for i in found} - people - {me}
    look.need(mine, "nobody", me=me, strangers=strangers)
    look.must(len(mine) == 1, "one", me=me, count=len(mine))
    has = {endpoint.name: endpoint.subject for endpoint in mine[0].endpoints}
    wanted = {name: f"seats.{me}.favourites.{name}" for name in ("list", "get")}
    look.must(
        wanted.items() <= has.items(), "subjects", wanted=[*wanted.values()], has=[*has.values()]
    )
    lists = (await play.ask_all(look, wanted["list"], [b""], visitor))[b""]
    look.must(len(lists) == 1, "answer", wrong="" if lists else "silent", subject=wanted["list"])
    things = _list_in(lists[0])
    look.must(things, "list", got=shortened(lists[0].data))
    unknown = play.names(1, but=things)[0]
    asked = [thing.encode() for thing in (*things, unknown)]
    answers = await play.ask_all(look, wanted["get"], asked, visitor)
    silent = [payload.decode() for payload, got in answers.items() if len(got) != 1]
    look.must(not silent, "each", silent=silent)
    *known, none = (answers[payload][0] for payload in asked)
    poor = [t for t, a in zip(things, known, strict=True) if not a.data.strip() or _code(a)]
    look.expect(not poor, "get", poor=poor)
    look.expect(_code(none) == "404", "unknown", unknown=unknown, got=_code(none) or none.data)


async def knows_the_room(look: Look) -> None:
    """Adds somebody new, somebody slow and somebody silent to the room; compares the learner's table."""
    function = play.function(look, "room_favourites", look.answer)
    visitor = look.mine(await look.room.visitor(CLIENT_NAME))
    new, slow, silent, *values = play.names(8, but=look.room.neighbours)
    likes = {"colour": values[0], values[1]: values[2]}
    services = [
        await _neighbour(visitor, name, likes, delay)
        for name, delay in ((new, 0.0), (slow, SLOW), (silent, SILENT))
    ]
    await visitor.flush()
    try:
        client = look.mine(await look.room.connect(name=CLIENT_NAME))
        called = await call("room_favourites", function, client, DEADLINE)
    finally:
        for service in services:
            await service.stop()
    look.must(not called.problem, "called", problem=called.problem)
    table = called.value
    look.need(table is not None, "empty")
    rows = isinstance(table, dict) and all(isinstance(row, dict) for row in table.values())
    look.must(rows, "table", value=table)
    missing = look.room.neighbours - table.keys()
    wrong = "one" if len(table) <= 1 else ""
    look.must(not missing, "everybody", wrong=wrong, missing=missing, people=look.room.neighbours)
    look.expect(new in table, "new", name=new)
    look.expect(slow in table, "slow", name=slow, delay=SLOW, deadline=DEADLINE)
    for name in play.chance.sample(sorted(look.room.neighbours), 2):
        colour = (await visitor.request(f"seats.{name}.favourites.get", b"colour", timeout=5)).data
        told = table[name].get("colour")
        look.must(told == colour.decode(), "values", name=name, told=told, colour=colour.decode())
    for name in {new, slow} & table.keys():
        look.must(table[name] == likes, "things", name=name, told=table[name], likes=likes)
    look.expect(not table.get(silent), "silent", name=silent)
    back = called.took < DEADLINE + LATE_BY
    look.expect(back, "back", deadline=DEADLINE, took=called.took)


async def _neighbour(client: Any, name: str, likes: dict[str, str], delay: float) -> Any:
    """Somebody else's favourites service, whose `list` and `get` answer after a while."""

    async def list_all(request: Any) -> None:
        await request.respond(json.dumps(sorted(likes)).encode())

    async def get(request: Any) -> None:
        await asyncio.sleep(delay / 2)
        thing = request.data.decode(errors="replace")
        if thing not in likes:
            raise ServiceError("404", f"{name} has no favourite {thing}")
        await request.respond(likes[thing].encode())

    about = {"name": "favourites", "version": "1.0.0", "metadata": {"owner": name}}
    service = await nats.micro.add_service(client, **about)
    group = service.add_group(name=f"seats.{name}.favourites")
    await group.add_endpoint(name="list", handler=list_all)
    await group.add_endpoint(name="get", handler=get)
    return service


def _list_in(answer: Any) -> list[str]:
    """The names in a JSON list; [] where the answer is no such list."""
    with contextlib.suppress(ValueError):
        things = json.loads(answer.data)
        if isinstance(things, list) and all(isinstance(t, str) and t for t in things):
            return things
    return []


def _code(answer: Any) -> str:
    return str((answer.headers or {}).get("Nats-Service-Error-Code", ""))
