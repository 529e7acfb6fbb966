"""Simulated neighbours: ordinary NATS clients, a connection each, who do what people in a room do.

They sign the guestbook, answer the roll call, play the lottery and chat, and each runs a service
named favourites at seats.<name>.favourites. The same seed gives the same people.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import nats
import nats.errors
import nats.micro
from nats.micro.service import ServiceError

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.micro.request import Request

# People of computing, by first name, in the order in which they take their seats.
NAMES = (
    "ada", "alan", "barbara", "dennis", "edsger", "frances", "grace", "hedy", "ivan", "jean",
    "katherine", "leslie", "margaret", "niklaus", "ole", "radia", "shafi", "tony", "whitfield",
    "xiaoyun", "yann", "zoe", "anita", "bjarne", "claude", "donald", "evelyn", "fernando", "gerald",
    "howard", "irene", "john", "karen", "linus", "mary", "nancy", "peter", "ralph", "sophie", "tim",
)  # fmt: skip
COLOURS = ("red", "green", "blue", "yellow", "violet", "orange", "black", "white")
SEASONS = ("spring", "summer", "autumn", "winter")
FOODS = ("noodles", "dumplings", "pizza", "falafel", "curry", "soup", "waffles", "tacos")
MOST_GREETINGS = 5  # that a neighbour gives to a handle within PATIENCE seconds
PATIENCE = 5.0
MOST_LINES = 1000  # of the chat that wait for a neighbour; in a flood the rest is not heard
THINKING = (1.0, 4.0)  # seconds, at least and at most, that a neighbour needs in the race
GREETINGS = ("Hello", "Hi", "Welcome", "Good to see you")


@dataclass(frozen=True)
class Neighbour:
    """Somebody in the room: a name, favourites, and what they wrote in the guestbook, oldest first."""

    name: str
    colour: str
    food: str
    entries: tuple[str, ...]

    @property
    def favourites(self) -> dict[str, str]:
        """What they like best."""
        season = random.Random(self.name).choice(SEASONS)
        return {"colour": self.colour, "food": self.food, "season": season}


def people(seats: int, seed: int) -> list[Neighbour]:
    """The neighbours at so many seats; a seed always gives the same ones."""
    chance = random.Random(seed)
    found = []
    for number in range(seats):
        name = NAMES[number % len(NAMES)]
        name += f"-{number // len(NAMES) + 1}" if number >= len(NAMES) else ""
        colour, food = chance.choice(COLOURS), chance.choice(FOODS)
        entries = (f"Hello, I am {name}.", f"I like {food}.", f"Mine is the {colour} laptop.")
        found.append(Neighbour(name, colour, food, entries[: chance.randint(1, 3)]))
    return found


async def sit_down(url: str, neighbour: Neighbour, everybody: frozenset[str]) -> Client:
    """Connect a neighbour to the server at `url`, and let it take part; returns its connection."""
    nc = await nats.connect(
        url,
        name=neighbour.name,
        reconnect_time_wait=0.25,
        max_reconnect_attempts=-1,
        error_cb=_not_heard,
    )
    for entry in neighbour.entries:
        await nc.request(f"room.guestbook.sign.{neighbour.name}", entry.encode(), timeout=5)

    async def say_name(message: Msg) -> None:
        if message.reply:
            await message.respond(neighbour.name.encode())

    greeted: dict[str, list[float]] = {}

    async def chat(message: Msg) -> None:
        handle = message.subject.split(".")[2]
        line = message.data.decode(errors="replace")
        if handle in everybody or "hello" not in line.lower():
            return
        if _lately(greeted, handle) and everybody & set(re.findall(r"[\w-]+", line.lower())):
            return  # an answer to a greeting: the conversation would never end
        if _feels_addressed(neighbour.name, handle, everybody) and _is_new(greeted, handle):
            greeting = random.Random(handle + neighbour.name).choice(GREETINGS)
            line = f"{greeting}, {handle}! This is {neighbour.name}."
            await nc.publish(f"room.chat.{neighbour.name}", line.encode())

    thoughts: set[asyncio.Task[None]] = set()  # kept, or they would be collected

    async def race(message: Msg) -> None:
        thoughts.add(task := asyncio.create_task(_race(nc, neighbour.name, message.data)))
        task.add_done_callback(thoughts.discard)

    await nc.subscribe("room.race.question", cb=race)
    await nc.subscribe("room.rollcall", cb=say_name)
    await nc.subscribe("room.lottery", queue="lottery", cb=say_name)
    await nc.subscribe("room.chat.*", cb=chat, pending_msgs_limit=MOST_LINES)
    await _serve_favourites(nc, neighbour)
    await nc.flush()
    return nc


async def _race(nc: Client, name: str, question: bytes) -> None:
    """Find out what is asked, after some thinking, and answer; who knows it of themselves keeps quiet."""
    with contextlib.suppress(ValueError, KeyError, nats.errors.Error):
        asked = json.loads(question)
        if asked["who"] != name:
            await asyncio.sleep(random.Random(f"{asked['round']} {name}").uniform(*THINKING))
            subject = f"seats.{asked['who']}.favourites.get"
            found = await nc.request(subject, asked["what"].encode(), timeout=2)
            await nc.request(f"room.race.answer.{name}", found.data, timeout=2)


async def _serve_favourites(nc: Client, neighbour: Neighbour) -> None:
    """Run the service of notebook 21: `list` and `get`, and error 404 for what is not there."""
    favourites = neighbour.favourites

    async def list_all(request: Request) -> None:
        await request.respond(json.dumps(sorted(favourites)).encode())

    async def get(request: Request) -> None:
        thing = request.data.decode(errors="replace")
        if thing not in favourites:
            raise ServiceError("404", f"{neighbour.name} has no favourite {thing[:30]}")
        await request.respond(favourites[thing].encode())

    service = await nats.micro.add_service(
        nc,
        name="favourites",
        version="1.0.0",
        description="What somebody likes best",
        metadata={"owner": neighbour.name},
    )
    group = service.add_group(name=f"seats.{neighbour.name}.favourites")
    await group.add_endpoint(name="list", handler=list_all)
    await group.add_endpoint(name="get", handler=get)


async def _not_heard(error: Exception) -> None:
    """Lines beyond MOST_LINES are dropped, and that is all right; anything else is told."""
    if not isinstance(error, nats.errors.SlowConsumerError):
        print(f"{type(error).__name__}: {error}", flush=True)


def _feels_addressed(name: str, handle: str, everybody: frozenset[str]) -> bool:
    """Two of the room greet a visitor who says hello, always the same two for a handle."""
    return name in random.Random(handle).sample(sorted(everybody), min(2, len(everybody)))


def _is_new(greeted: dict[str, list[float]], handle: str) -> bool:
    """Whether a handle was not greeted too often just now: two bots could greet each other for ever."""
    lately = _lately(greeted, handle)
    greeted[handle] = [*lately, time.monotonic()]
    return len(lately) < MOST_GREETINGS


def _lately(greeted: dict[str, list[float]], handle: str) -> list[float]:
    """When a handle was greeted, within the last PATIENCE seconds."""
    now = time.monotonic()
    return [moment for moment in greeted.get(handle, ()) if now - moment < PATIENCE]


async def fill(url: str, seats: int, seed: int) -> list[Client]:
    """Let all neighbours sit down, side by side; returns their connections."""
    here = people(seats, seed)
    names = frozenset(neighbour.name for neighbour in here)
    return list(await asyncio.gather(*(sit_down(url, person, names) for person in here)))
