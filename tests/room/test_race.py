"""The race: a question to the room, and the first right answer wins."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from labkit.room import Room, ask_service, simulate


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    opened = await simulate.aio(5)
    yield opened
    await opened.stop.aio()


async def asked(room: Room) -> tuple[dict, dict]:
    """A new round's question as everybody hears it, and as it is told to who started it."""
    nc = await room.connect(name="starter")
    questions = await nc.subscribe("room.race.question")
    await nc.flush()
    told = await ask_service(nc, "room.race.start")
    question = json.loads((await questions.next_msg(timeout=5)).data)
    await nc.close()
    return question, told


async def test_who_is_quicker_than_the_neighbours_wins_and_it_is_announced(room: Room):
    nc = await room.connect(name="quick")
    winners = await nc.subscribe("room.race.winner")
    await nc.flush()
    question, told = await asked(room)
    assert question == told
    assert question["who"] in room.neighbours
    subject = f"seats.{question['who']}.favourites.get"
    found = await nc.request(subject, question["what"].encode(), timeout=2)
    mine = await ask_service(nc, "room.race.answer.quick", found.data)
    assert mine == {"round": 1, "winner": "quick"}
    late = await ask_service(nc, "room.race.answer.late", found.data)
    assert late == {"round": 1, "winner": "quick"}
    winner = json.loads((await winners.next_msg(timeout=5)).data)
    assert (winner["round"], winner["name"]) == (1, "quick")
    assert 0 < winner["ms"] < 5000
    with pytest.raises(TimeoutError):
        await winners.next_msg(timeout=0.2)
    await nc.close()


async def test_a_neighbour_wins_where_nobody_else_answers(room: Room):
    nc = await room.connect(name="spectator")
    winners = await nc.subscribe("room.race.winner")
    await nc.flush()
    question, _ = await asked(room)
    winner = json.loads((await winners.next_msg(timeout=10)).data)
    assert winner["name"] in room.neighbours - {question["who"]}
    await nc.close()


async def test_what_is_no_answer_is_told(room: Room):
    nc = await room.connect(name="clumsy")
    with pytest.raises(LookupError, match="no round has begun yet: request room.race.start"):
        await ask_service(nc, "room.race.answer.clumsy", b"green")
    question, _ = await asked(room)
    with pytest.raises(LookupError, match=f"{question['who']} likes another {question['what']}"):
        await ask_service(nc, "room.race.answer.clumsy", b"nothing")
    with pytest.raises(LookupError, match="isn't a valid name here"):
        await ask_service(nc, "room.race.answer.two.names", b"green")
    await nc.close()


async def test_rounds_that_are_started_at_once_are_two(room: Room):
    rounds = await asyncio.gather(asked(room), asked(room))
    assert sorted(told["round"] for _, told in rounds) == [1, 2]
