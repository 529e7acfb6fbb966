"""Checks of notebook 22: who is there, how they are doing, and callers that lose nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from labkit.course import notebooks, play
from labkit.course.calling import Called, call
from labkit.course.look import Look
from labkit.servers import observe
from labkit.servers.programs import Program

DELAYS = (0.0, 0.0, 0.02, 0.3, 0.6)  # seconds until an instance answers; the last two one by one
DEADLINE, TOO_LATE, LATE_BY = 0.9, 1.6, 0.6  # seconds; the last is what a busy machine may need
SLOW = "0.04"  # seconds that the slow instance needs for a request; the others need under a millisecond
CALLS, AT_ONCE = 300, 12
IN_HAND = 2.0  # seconds for a request to come to the instance that is killed
KILL_AFTER = 100  # calls


@dataclass
class Impostor:
    """An instance of a service as the convention has it, that answers after a while."""

    name: str
    owner: str
    delay: float
    id: str = field(default_factory=lambda: "".join(play.names(2)))

    async def answer(self, client: Any, message: Any) -> None:
        """Say what PING, INFO and STATS say."""
        await asyncio.sleep(self.delay)
        verb = message.subject.split(".")[1].lower()
        said: dict[str, Any] = {
            "type": f"io.nats.micro.v1.{verb}_response",
            "name": self.name,
            "id": self.id,
        }
        said |= {"version": "1.0.0", "metadata": {"owner": self.owner}}
        said |= {"endpoints": [], "description": "", "started": "2026-01-01T00:00:00Z"}
        await client.publish(message.reply, json.dumps(said).encode())


@contextlib.asynccontextmanager
async def _present(look: Look, instances: list[Impostor]) -> AsyncIterator[None]:
    """These instances answer on $SRV until the block ends."""
    client, tasks = await look.connect(), set[asyncio.Task[None]]()

    async def hear(message: Any) -> None:
        _, _, name, id = [*message.subject.split("."), "", ""][:4]
        for one in instances:
            if message.reply and name in ("", one.name) and id in ("", one.id):
                tasks.add(asyncio.create_task(one.answer(client, message)))

    heard = [await client.subscribe(f"$SRV.*{end}", cb=hear) for end in ("", ".*", ".*.*")]
    await client.flush()
    try:
        yield
    finally:
        for subscription in heard:
            await subscription.unsubscribe()
        await client.flush()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def finds_every_instance(look: Look) -> None:
    """Lets instances answer early, late and too late, of two services; then asks where nobody is."""
    find = play.function(look, "find_instances", look.answer)
    name, other, nobody, *owners = play.names(10)
    here = [Impostor(name, owner, d) for owner, d in zip(owners, DELAYS, strict=False)]
    late, strange = Impostor(name, owners[5], TOO_LATE), Impostor(other, owners[6], 0.0)
    client = await look.connect()
    async with _present(look, [*play.chance.sample(here, len(here)), late, strange]):
        found = await _found(look, find, client, name)
    look.must(strange.id not in found.value, "strange", name=name, other=other)
    missed = {i.owner for i in here if i.id not in found.value}
    quick = {i.owner for i in here[:3]}
    wrong = "all" if missed >= quick else "one" if len(found.value) == 1 else "missed"
    look.must(not missed, "missed", wrong=wrong, missed=missed, count=len(here), deadline=DEADLINE)
    look.must(late.id not in found.value, "late", deadline=DEADLINE, took=found.took)
    told = {i.id: i.owner for i in here}
    look.expect(
        found.value == told, "owners", found=list(found.value.values()), owners=told.values()
    )
    back = found.took < DEADLINE + LATE_BY
    look.expect(back, "back", deadline=DEADLINE, took=found.took)
    nothing = await _found(look, find, client, nobody)
    look.expect(nothing.value == {}, "nobody", name=nobody, found=nothing.value)
    await client.flush()  # what it has unsubscribed from is gone
    everybody = await asyncio.to_thread(observe.connections, look.server)
    (theirs,) = [found.subjects for found in everybody if found.cid == client.client_id]
    look.expect(not [s for s in theirs if not s.endswith(".*")], "inbox")  # request has one such


async def _found(look: Look, find: Any, client: Any, name: str) -> Called:
    called = await call("find_instances", find, client, name, DEADLINE)
    look.must(not called.problem, "called", problem=called.problem)
    look.need(called.value is not None, "empty")
    look.must(isinstance(called.value, dict), "dictionary", value=called.value)
    return called


# --- programs under load -----------------------------------------------------------------------


@dataclass
class Team:
    """Instances of favourites.py on subjects of their own, by their owner."""

    look: Look
    prefix: str
    programs: dict[str, Program] = field(default_factory=dict)

    async def hire(self, owner: str, *options: str) -> None:
        """Start one; returns when it answers."""
        path = notebooks.course_folder() / "2-microservices" / "favourites.py"
        whose = ("--owner", owner, "--prefix", self.prefix)
        self.programs[owner] = await self.look.lab.run.aio(path, *whose, *options, name=owner)


@contextlib.asynccontextmanager
async def _team(look: Look, slow: str, owners: list[str]) -> AsyncIterator[Team]:
    """Instances of these owners, one of them slow; all are ended with the block."""
    team = Team(look, f"fav-{play.names(1)[0]}")
    try:
        hired = (team.hire(o, *(("--slow", SLOW) if o == slow else ())) for o in owners)
        await asyncio.gather(*hired)
        yield team
    finally:
        ends = (program.kill.aio() for program in team.programs.values())
        await asyncio.gather(*ends, return_exceptions=True)


async def takes_out_the_slow(look: Look) -> None:
    """Runs a load on three programs, of which one is slow; sees who is stopped, and what is lost."""
    act = play.function(look, "take_out_the_slow", look.answer)
    owners = play.names(3)
    slow = play.chance.choice(owners)
    async with _team(look, slow, owners) as team:
        client, theirs = await look.connect(), await look.connect()

        async def request(_: int) -> str:
            return await play.ask(client, f"{team.prefix}.get", b"food", 3.0, b"noodles")

        load = play.Load(request, CALLS, AT_ONCE)
        work = asyncio.create_task(load.run())
        while load.ended.total() < KILL_AFTER:
            await asyncio.sleep(0.01)
        called = await call("take_out_the_slow", act, theirs, dict(team.programs))
        await work
        look.must(not called.problem, "called", problem=called.problem)
        out = [owner for owner, program in team.programs.items() if not program.alive]
        look.need(out or called.value is not None, "nobody", slow=slow)
        look.must(out, "nobody", slow=slow)
        look.must(
            out == [slow], "other", wrong="" if slow not in out else "more", out=out, slow=slow
        )
        lost = load.ended.total() - load.ended["answered"]
        look.expect(not lost, "lost", lost=lost, sent=load.ended.total())


async def loses_nothing(look: Look) -> None:
    """Calls the learner's function while an instance is killed; then for what is not there, and for nobody."""
    get = play.function(look, "get_favourite", look.answer)
    owners = play.names(3)
    async with _team(look, "", owners) as team:
        client, subject = await look.connect(), f"{team.prefix}.get"
        ends: list[Called] = []

        async def caller() -> None:
            while len(ends) < CALLS:
                ends.append(await call("get_favourite", get, client, subject, "food"))

        work = asyncio.gather(*(caller() for _ in range(AT_ONCE)))
        while len(ends) < KILL_AFTER and not work.done():
            await asyncio.sleep(0.005)
        owner = play.chance.choice(owners)
        victim, deadline = team.programs[owner], time.monotonic() + IN_HAND
        await victim.pause.aio()
        paused = await _delivered(look, owner)
        while await _delivered(look, owner) == paused and not work.done():
            if time.monotonic() > deadline:
                break  # the learner's function asks no more
            await asyncio.sleep(0.005)
        await victim.kill.aio()
        await work
        look.need(any(end.problem or end.value is not None for end in ends), "empty")
        problems = sorted({end.problem for end in ends if end.problem})
        look.must(not problems, "failed", problems=problems, killed=1)
        strange = sorted({str(end.value) for end in ends if end.value != "noodles"})
        look.must(not strange, "answer", strange=strange)
        unknown = play.names(1)[0]
        heard = await look.listen(subject)
        none = await call("get_favourite", get, client, subject, unknown)
        look.expect(
            not none.problem and none.value is None, "unknown", said=none.problem or none.value
        )
        asked = len(await heard.take(1))
        look.expect(asked == 1, "once", asked=asked)
    await _gives_up(look, get)


async def _delivered(look: Look, owner: str) -> int:
    """How many messages the server has sent to this owner's instance."""
    return sum(connection.out_msgs for connection in await look.connections(owner))


async def _gives_up(look: Look, get: Callable[..., Awaitable[Any]]) -> None:
    """Nobody ever answers: it must ask three times, and then raise."""
    client, dead = await look.connect(), await look.listen(f"dead.{play.names(1)[0]}")
    ended = await call("get_favourite", get, client, dead.subject, "food")
    asked = len(dead.messages)
    look.expect(bool(ended.problem), "raises", value=ended.value)
    look.expect(asked == 3, "tries", asked=asked)
