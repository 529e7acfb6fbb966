"""A room for one: a real hub with its services, simulated neighbours, and your own server as a leaf."""

from __future__ import annotations

import asyncio
import html
import json
import sys
from typing import TYPE_CHECKING, Any

import nats.errors
from nats.micro.request import ERROR_HEADER

from labkit.lab import start
from labkit.room import neighbours
from labkit.servers.blocking import blocking, blocking_method
from labkit.servers.errors import LabError, NotInTimeError
from labkit.servers.probe import Conversation
from labkit.servers.wait import wait_until

if TYPE_CHECKING:
    from nats.aio.client import Client

    from labkit.servers.processes import Process
    from labkit.servers.server import ServerProcess
    from labkit.servers.topology import RunningTopology

TOPOLOGY = "room-simulated"
CREW = "labkit.room.crew"  # the program in which services and neighbours live
ANSWER_TIMEOUT = 10.0  # seconds for a service of the room
OPEN_TIMEOUT = 15.0  # seconds for services and neighbours to be there
MOST_SEATS = 60
SEED = 1
SUBJECTS_HEARD = 4 + 11  # by each neighbour: roll call, lottery, chat, race, and its service's
_OPENED: list[Room] = []
NEEDED = {
    "$SRV.PING",
    "room.rollcall",
    "room.chat.*",
    "room.guestbook.sign.>",
    "room.draw",
}  # across the leaf


class Room:
    """A simulated room: `lab` runs its servers hub, seat and neighbours; `seat` is yours.

    Also a context manager. It ends with the process that made it, however that ends.
    """

    def __init__(self, lab: RunningTopology, people: list[neighbours.Neighbour]) -> None:
        self.lab, self.people = lab, people

    @property
    def seat(self) -> ServerProcess:
        """Your own server, a leaf node of the hub."""
        return self.lab["seat"]

    async def connect(self, **options: Any) -> Client:
        """A client of your own server; `options` are those of `nats.connect`."""
        return await self.lab.connect("seat", **options)

    @property
    def neighbours(self) -> set[str]:
        """The names of the others in the room."""
        return {person.name for person in self.people}

    async def visitor(self, name: str) -> Client:
        """A client of somebody else in the room: here one of the hub, across your server's link.

        Returned when each side of the link knows what has been subscribed to on the other. Interest
        crosses in the order in which it arose: when a new subject is reached, so are the older ones.
        """
        visitor, seat = await self.lab.connect("hub", name=name), await self.connect(name=name)
        for asker, answerer in ((seat, visitor), (visitor, seat)):
            await _until_reached(asker, answerer)
        await seat.close()
        return visitor

    @blocking_method
    def stop(self) -> None:
        """End the room: its people, services and servers. Stopping again does no harm."""
        self.lab.stop()

    def __enter__(self) -> Room:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        names = ", ".join(person.name for person in self.people)
        state = "closed" if self.lab.stopped else "open"
        return f"a simulated room, {state}, with {len(self.people)} neighbours: {names}"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>"


@blocking
def simulate(seats: int = 12, seed: int = SEED) -> Room:
    """Open a room with so many simulated neighbours, and return when all are there.

    The neighbours are real clients with a connection each; a seed always gives the same people.
    Raises LabError when `seats` is not 1 to 60, or the room is not open after 15 s; then nothing
    of it is left.
    """
    if not isinstance(seats, int) or not 1 <= seats <= MOST_SEATS:
        raise LabError(f"a room of {seats!r} seats cannot be simulated; take 1 to {MOST_SEATS}")
    lab: RunningTopology = start(TOPOLOGY)
    people = neighbours.people(seats, seed)
    arguments = [lab["hub"].url, lab["neighbours"].url, str(seats), str(seed)]
    try:
        crew = lab.run_beside("crew", [sys.executable, "-m", CREW, *arguments])
        wait_until(lambda: _is_open(lab, crew, people), OPEN_TIMEOUT, "the room to open")
    except NotInTimeError as error:
        said = lab.said_beside("crew")
        lab.stop()
        raise LabError(f"{error}. Its people said: {said or 'nothing'}") from None
    except BaseException:
        lab.stop()
        raise
    _OPENED.append(room := Room(lab, people))
    return room


async def ask_service(client: Client, subject: str, payload: bytes = b"") -> Any:
    """What a service of the room answers. Raises LookupError with its sentence when it refuses."""
    answer = await client.request(subject, payload, timeout=ANSWER_TIMEOUT)
    if refusal := (answer.headers or {}).get(ERROR_HEADER):
        raise LookupError(f"{subject} was answered with: {refusal}")
    return json.loads(answer.data)


async def _until_reached(asker: Client, answerer: Client) -> None:
    """Return when a new subject of the answerer's is known where the asker is."""

    async def answer(message: Any) -> None:
        await message.respond(b"")

    echo = await answerer.subscribe(answerer.new_inbox(), cb=answer)
    async with asyncio.timeout(ANSWER_TIMEOUT):
        while True:
            try:
                await asker.request(echo.subject, timeout=1)
                break
            except nats.errors.Error:
                await asyncio.sleep(0.005)
    await echo.unsubscribe()


def current() -> Room | None:
    """The newest room that this process has opened and not closed; None where there is none."""
    _OPENED[:] = [room for room in _OPENED if not room.lab.stopped]
    return _OPENED[-1] if _OPENED else None


def _is_open(lab: RunningTopology, crew: Process, people: list[neighbours.Neighbour]) -> bool:
    """Whether all have signed and listen, and the seat can reach them. Raises when the crew is gone."""
    if not crew.alive:
        raise LabError(f"the room did not open; its people said: {lab.said_beside('crew')}")
    try:
        with Conversation(lab["hub"].planned.addresses["client"], 2.0) as conversation:
            guests = conversation.request("room.guestbook.guests", b"", {})
    except OSError:  # a machine that is busy
        return False
    if not guests or len(json.loads(guests)) < len(people):
        return False
    listening = lab["neighbours"].monitor("connz", limit=MOST_SEATS + 1)["connections"]
    ready = [c for c in listening if c.get("name") and c["subscriptions"] >= SUBJECTS_HEARD]
    if len(ready) < len(people):
        return False
    (link,) = lab["seat"].monitor("leafz", subs=True).get("leafs") or [{}]
    return set(link.get("subscriptions_list") or ()) >= NEEDED
