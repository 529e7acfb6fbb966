"""Checks of notebook 33: a leaf node that joins, round trips near and far, and a subject that stays at home."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from nats.aio.client import Client as NatsClient

from labkit.course import play
from labkit.course.calling import call
from labkit.course.look import CLIENT_NAME, Ear, Look
from labkit.servers.errors import LabError
from labkit.servers.server import ServerProcess

LINKED = 3.0  # seconds for a leaf to dial the hub, which it tries once a second
REACHED = 2.0  # seconds for interest to cross a link, on a busy machine
ANSWERED = 1.0  # seconds for an answer that is due at once
LOG = {"Incorrect Port": "client_port", "Error trying to connect": "nobody"}  # what mine says of it
LATE = 80  # milliseconds that some answers take
MEDIAN = 15  # milliseconds, of a service that is prompt most of the time; its mean is 18 or more
BUSY = 40  # milliseconds by which a busy machine may be slower
COUNTS = (9, 13)  # requests to each service
HUB = """
server_name: hub
listen: 127.0.0.1:4222
http: 127.0.0.1:8222
leafnodes { listen: 127.0.0.1:7422 }
"""


async def joins_the_hub(look: Look) -> None:
    """Asks the hub for its leaf nodes, and lets questions cross from either side."""
    lab = look.room.lab
    look.need("mine" in lab and lab["mine"].state == "running", "mine")
    mine, hub = lab["mine"], lab["hub"]
    page = await mine.monitor.aio("varz")
    look.need(page.get("leaf", {}).get("remotes"), "no_remote")
    if not await _linked(hub, "mine"):
        said = mine.log.find("|".join(LOG))[-1:]
        look.must(False, "linked", wrong=next((LOG[k] for k in LOG if k in "".join(said)), ""))
    here, there = [await lab.connect(where, name=CLIENT_NAME) for where in ("mine", "hub")]
    clients = [look.mine(client) for client in (here, there)]
    look.expect(True, "linked")
    for key, asker, answerer in (("out", *clients), ("in", *clients[::-1])):
        subjects = [f"{word}.{play.chance.randint(1, 99)}" for word in play.names(2)]
        missed = await _missed(asker, answerer, subjects)
        look.expect(not missed, key, missed=missed)
    people = look.room.neighbours
    answers = await play.ask_all(look, "room.rollcall", [b"here?"], here)
    heard = {m.data.decode(errors="replace") for m in answers[b"here?"]} & people
    look.expect(heard == people, "room", heard=heard, people=people)


async def _linked(hub: ServerProcess, name: str) -> bool:
    """Whether the hub has a leaf node of this name, or gets one while it may still be dialling."""
    deadline = time.monotonic() + LINKED
    while time.monotonic() < deadline:
        links = (await hub.monitor.aio("leafz"))["leafs"] or []
        if any(link["name"] == name for link in links):
            return True
        await asyncio.sleep(0.02)
    return False


async def _missed(asker: NatsClient, answerer: NatsClient, subjects: list[str]) -> list[str]:
    """The subjects on which the asker does not reach the answerer, though it has time to hear of it."""

    async def answer(message: Any) -> None:
        await message.respond(b"")

    heard = [await answerer.subscribe(subject, cb=answer) for subject in subjects]
    await answerer.flush()
    missed, deadline = [], time.monotonic() + REACHED
    for subject in subjects:
        while await play.ask(asker, subject, b"", ANSWERED) != "answered":
            if time.monotonic() > deadline:
                missed.append(subject)
                break
            await asyncio.sleep(0.02)
    for subscription in heard:
        await subscription.unsubscribe()
    return missed


# --- near and far -------------------------------------------------------------------------------


async def measures_round_trips(look: Look) -> None:
    """Has the learner's function ask services that are near, far, late now and then, and not there."""
    function, room = play.function(look, "round_trips", look.answer), look.room
    client = look.mine(await room.connect(name=CLIENT_NAME))
    visitor = look.mine(await room.visitor(CLIENT_NAME))
    prompt, tired, nobody = play.names(3, but=room.neighbours)
    who = play.chance.choice(sorted(room.neighbours))
    far = f"seats.{who}.favourites.list"
    services = {prompt: _Service(client, late=(2,)), tired: _Service(client, late=(0, 1, 3))}
    for subject, service in services.items():
        service.heard = await client.subscribe(subject, cb=service.answer)
    crossed = await look.listen(far, visitor)
    delay, count = play.chance.randint(10, 25), play.chance.randint(*COUNTS)
    await room.lab.delay.aio("seat", "hub", delay)
    try:
        subjects = play.chance.sample([*services, far, nobody], 4)
        called = await call("round_trips", function, client, subjects, count)
    finally:
        await room.lab.delay.aio("seat", "hub", 0)
    look.must(not called.problem, "called", problem=called.problem)
    told = called.value
    look.must(isinstance(told, dict) and told.keys() == {*subjects}, "keys", told=told)
    asked = {subject: service.asked for subject, service in services.items()}
    asked[far] = len(crossed.messages)
    cases = [f"{subject} got {n}" for subject, n in asked.items() if n != count]
    look.expect(not cases, "count", count=count, cases=cases)
    look.must(not any(service.crowded for service in services.values()), "one by one")
    look.expect(told[nobody] is None, "nobody", nobody=nobody, got=told[nobody])
    times = {subject: told[subject] for subject in (prompt, tired, far)}
    right = all(isinstance(value, int | float) and value >= 0 for value in times.values())
    look.must(right, "numbers", told=told)
    look.must(times[far] > 1, "milliseconds", far=far, got=times[far], delay=2 * delay)
    bounds = (
        ("prompt", prompt, 0, MEDIAN),
        ("tired", tired, LATE, BUSY),
        ("far", far, 2 * delay, BUSY),
    )
    for key, subject, least, more in bounds:
        wrong, met = "", 0.95 * least <= times[subject] < least + more
        if times[subject] < least:
            wrong = {"tired": "tired, less", "far": "far, less"}[key]
        facts = {"got": f"{times[subject]:.1f}", "late": LATE, "delay": 2 * delay}
        look.expect(met, key, wrong=wrong, **facts)


@dataclass
class _Service:
    """Answers at once, or in some of four times late; counts who asks, and sees whether they queue."""

    client: NatsClient
    late: tuple[int, ...]
    asked: int = 0
    crowded: bool = False
    heard: Any = None

    async def answer(self, message: Any) -> None:
        self.asked += 1
        await asyncio.sleep(LATE / 1000 if self.asked % 4 in self.late else 0)
        self.crowded |= self.heard.pending_msgs > 0
        await message.respond(b"[]")


# --- what stays at home -------------------------------------------------------------------------


async def keeps_the_diary(look: Look) -> None:
    """Starts a hub and the learner's file beside it, and publishes on either side."""
    text = look.answer
    look.need(isinstance(text, str) and text.strip(), "text")
    try:
        lab = await play.servers(look, {"hub": HUB, "mine": text})
    except LabError as refusal:
        look.must(False, "refused", why=" ".join(str(refusal).split()))
    async with lab:
        (mine,) = (server for server in lab.values() if server.name != "hub")
        look.must(await _linked(lab["hub"], mine.name), "linked")
        inside, outside = [
            look.mine(await lab.connect(name, name=CLIENT_NAME)) for name in (mine.name, "hub")
        ]
        one, two, page = play.names(3, but=["diary"])
        secret = [f"diary.{one}", f"diary.{two}.{page}", f"diary.{one}.{page}.{two}"]
        free = [f"{one}.{page}", f"diaries.{two}", f"{two}.diary.{one}", "diary"]
        ears = {inside: await look.listen(">", inside), outside: await look.listen(">", outside)}
        for key, asker, answerer in (("free out", inside, outside), ("free in", outside, inside)):
            missed = await _missed(asker, answerer, free)
            look.must(not missed, key, missed=missed)
        for key, speaker, listener in (("out", inside, outside), ("in", outside, inside)):
            ears[listener].messages.clear()
            mark = f"{free[0]}.{key}"
            for subject in (
                *secret,
                mark,
            ):  # the mark comes last, so nothing is on its way any more
                await speaker.publish(subject, b"dear diary")
            heard = await _until(ears[listener], mark)
            look.expect(not heard & {*secret}, key, told=sorted(heard & {*secret}))
            if speaker is inside:
                kept = await _until(ears[inside], mark)
                look.expect(kept >= {*secret}, "home", missed=sorted({*secret} - kept))


async def _until(ear: Ear, mark: str) -> set[str]:
    """The subjects that an ear has heard, once it has heard this one."""
    async with asyncio.timeout(REACHED):
        while mark not in (heard := {message.subject for message in ear.messages}):
            await asyncio.sleep(0.01)
    return heard
