"""The services of a room, on its hub: the guestbook, the draw of the lottery and the race.

Subjects: room.guestbook, room.guestbook.sign.<name>, room.guestbook.guests,
room.guestbook.guests.<name>, room.draw, room.race.start, room.race.answer.<name>. Answers are JSON. What cannot be done is answered with a
service error: a code (400, 404) and a sentence, in the headers that nats.micro uses.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import nats.errors
import nats.micro
from nats.js.errors import NotFoundError

from labkit.servers import discovery

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.micro.request import Request
    from nats.micro.service import Service

Answer = Callable[[str, str], Awaitable[Any]]  # (the last part of the subject, the payload)

BUCKET = "guestbook"
STREAM, KEY = f"KV_{BUCKET}", f"$KV.{BUCKET}."  # where a bucket keeps its values: ADR-8
HISTORY = 5  # entries kept for a guest
LONGEST_ENTRY = 200  # characters
MOST_DRAWS = 5000  # in one request
AT_ONCE = 100  # draws that wait for their answers at the same time
DRAW_TIMEOUT = 2.0  # seconds for a winner to answer
SILENT = "(no answer)"  # in the place of a winner's name
MOST_SILENT = 100  # draws without an answer; then the others who wait for a draw have their turn
_NAME = re.compile(r"[A-Za-z0-9_-]{1,30}")


class RefusedError(Exception):
    """A request that cannot be served: a code as HTTP has it, and a sentence."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


async def serve(nc: Client) -> None:
    """Offer the room's services on this connection, which should be one to the hub."""
    await _guestbook(nc)
    await _lottery(nc)
    await _race(nc)


async def _guestbook(nc: Client) -> None:
    book = await nc.jetstream().create_key_value(bucket=BUCKET, history=HISTORY)
    service = await nats.micro.add_service(
        nc, name="guestbook", version="1.0.0", description="Who is in the room, and what they say"
    )

    async def about(_: str, __: str) -> dict[str, Any]:
        return {
            "guests": len(await _names(nc)),
            "to sign": "request room.guestbook.sign.<your name>, with what you want to say",
            "to read": "request room.guestbook.guests, or room.guestbook.guests.<name>",
        }

    async def sign(name: str, text: str) -> dict[str, Any]:
        _refuse_name(name)
        if not text:
            raise RefusedError(400, "say something: the payload is your entry")
        if len(text) > LONGEST_ENTRY:
            raise RefusedError(400, f"{len(text)} characters; an entry has at most {LONGEST_ENTRY}")
        await book.put(name, text.encode())
        return {"name": name, "entry": text}

    async def guests(_: str, __: str) -> list[str]:
        return await _names(nc)

    async def guest(name: str, _: str) -> dict[str, Any]:
        _refuse_name(name)
        entries = await _entries(nc, name)
        if not entries:
            raise RefusedError(404, f"{name} has not signed the guestbook")
        return {"name": name, "entries": entries}

    await _add(service, "about", "room.guestbook", about)
    await _add(service, "sign", "room.guestbook.sign.>", sign)
    await _add(service, "guests", "room.guestbook.guests", guests)
    await _add(service, "guest", "room.guestbook.guests.>", guest)


async def _names(nc: Client) -> list[str]:
    """The keys of the bucket: the subjects of its stream."""
    info = await nc.jsm().stream_info(STREAM, subjects_filter=f"{KEY}>")
    return sorted(subject.removeprefix(KEY) for subject in info.state.subjects or {})


async def _entries(nc: Client, name: str) -> list[str]:
    """A key's history, oldest first.

    Read message by message: nats-py 2.16 asks a consumer, and when the answer on the consumer's
    state overtakes the messages, `history` and `keys` say that there is nothing.
    """
    found: list[str] = []
    sequence = 1
    with contextlib.suppress(NotFoundError):
        while True:
            message = await nc.jsm().get_msg(
                STREAM, seq=sequence, subject=f"{KEY}{name}", next=True
            )
            found.append((message.data or b"").decode())
            sequence = (message.seq or 0) + 1
    return found


def _refuse_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise RefusedError(
            400, f"{name!r} isn't a valid name here; use one token of letters, digits, - and _"
        )


async def _lottery(nc: Client) -> None:
    """Draw from the queue group that listens on room.lottery: each draw is one request."""
    service = await nats.micro.add_service(
        nc, name="lottery", version="1.0.0", description="Draws among those on room.lottery"
    )

    async def draw(_: str, text: str) -> dict[str, int]:
        digits = len(str(MOST_DRAWS))  # int() takes no number of thousands of them
        number = int(text or "1") if (text or "1").isdecimal() and len(text) <= digits else 0
        if not 1 <= number <= MOST_DRAWS:
            raise RefusedError(400, f"{text[:20]!r} is no number of draws; 1 to {MOST_DRAWS}")
        winners: Counter[str] = Counter()
        draws = iter(range(number))

        async def one_after_another() -> None:
            for _ in draws:
                winners[await _winner(nc)] += 1
                if winners[SILENT] >= MOST_SILENT:
                    return

        await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE)))
        return dict(winners.most_common())

    await _add(service, "draw", "room.draw", draw)


async def _winner(nc: Client) -> str:
    try:
        reply = await nc.request("room.lottery", b"", timeout=DRAW_TIMEOUT)
        return str(reply.data.decode(errors="replace"))[:LONGEST_ENTRY]
    except nats.errors.NoRespondersError:
        return "(nobody plays)"
    except nats.errors.TimeoutError:
        return SILENT


@dataclass
class Round:
    """A round of the race: what is asked of whose favourites, the answer, and who was first."""

    number: int
    who: str
    what: str
    value: str
    began: float
    winner: str = ""


async def _race(nc: Client) -> None:
    """Who finds a favourite first: a question to the whole room on room.race.question, round by round.

    The first right answer is announced on room.race.winner.
    """
    service = await nats.micro.add_service(
        nc, name="race", version="1.0.0", description="Who finds somebody's favourite first"
    )
    rounds: list[Round] = []

    async def start(_: str, __: str) -> dict[str, Any]:
        who, what, value = await _somebodys_favourite(nc)
        rounds.append(Round(len(rounds) + 1, who, what, value, time.monotonic()))
        question = {"round": len(rounds), "who": who, "what": what}
        await nc.publish("room.race.question", json.dumps(question).encode())
        return question

    async def answer(name: str, text: str) -> dict[str, Any]:
        _refuse_name(name)
        if not rounds:
            raise RefusedError(404, "no round has begun yet: request room.race.start")
        now = rounds[-1]
        if text != now.value:
            raise RefusedError(400, f"{now.who} likes another {now.what} best")
        if not now.winner:
            now.winner = name
            took = round((time.monotonic() - now.began) * 1000, 1)
            told = {"round": now.number, "name": name, "ms": took}
            await nc.publish("room.race.winner", json.dumps(told).encode())
        return {"round": now.number, "winner": now.winner}

    await _add(service, "start", "room.race.start", start)
    await _add(service, "answer", "room.race.answer.>", answer)


async def _somebodys_favourite(nc: Client) -> tuple[str, str, str]:
    """Somebody in the room, a thing, and which of these they like best."""
    found = await discovery.instances(nc, "favourites")
    random.shuffle(found)
    for instance in found:
        subjects = {endpoint.name: endpoint.subject for endpoint in instance.endpoints}
        with contextlib.suppress(KeyError, ValueError, IndexError, nats.errors.Error):
            listed = await nc.request(subjects["list"], timeout=1)
            what = random.choice(json.loads(listed.data))
            value = await nc.request(subjects["get"], str(what).encode(), timeout=1)
            if instance.owner and value.data:
                return instance.owner, str(what), value.data.decode()
    raise RefusedError(404, "nobody in the room runs a service named favourites that answers")


async def _add(service: Service, name: str, subject: str, answer: Answer) -> None:
    """An endpoint that answers in JSON, or with a service error where it refuses."""
    fixed = subject.removesuffix(">")

    async def handle(request: Request) -> None:
        try:
            rest = request.subject.removeprefix(fixed)
            found = await answer(rest, request.data.decode(errors="replace").strip())
        except RefusedError as refused:
            await request.respond_error(code=str(refused.code), description=str(refused))
        else:
            await request.respond(json.dumps(found).encode())

    await service.add_endpoint(name=name, subject=subject, handler=handle)
