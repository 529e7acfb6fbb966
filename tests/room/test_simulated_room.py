"""The simulated room: its services over the wire, its neighbours, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time

import nats.errors
import psutil
import pytest

import labkit
from labkit.room import neighbours, services, simulate
from labkit.room.simulation import Room
from labkit.servers.errors import LabError
from tests.servers import kernels

NAMES = [person.name for person in neighbours.people(12, seed=1)]


@pytest.fixture(scope="module")
def room():
    with simulate() as opened:
        yield opened


async def ask(room: Room, subject: str, payload: bytes = b""):
    """The answer and the service error of a request from the seat, on a connection of its own."""
    nc = await room.connect(name="stranger")
    try:
        reply = await nc.request(subject, payload, timeout=20)
    finally:
        await nc.close()
    headers = reply.headers or {}
    answer = json.loads(reply.data) if reply.data else None
    return answer, headers.get("Nats-Service-Error-Code"), headers.get("Nats-Service-Error", "")


async def test_all_neighbours_have_signed_when_the_room_is_open(room: Room):
    answer, _, _ = await ask(room, "room.guestbook.guests")
    assert sorted(NAMES) == [name for name in answer if name in NAMES]


async def test_the_guestbook_tells_how_it_is_used(room: Room):
    answer, _, _ = await ask(room, "room.guestbook")
    assert "room.guestbook.sign.<your name>" in answer["to sign"]


async def test_a_guest_has_a_history_of_five_entries_oldest_first(room: Room):
    for number in range(7):
        await ask(room, "room.guestbook.sign.writer", f"entry {number}".encode())
    answer, _, _ = await ask(room, "room.guestbook.guests.writer")
    assert answer == {"name": "writer", "entries": [f"entry {n}" for n in range(2, 7)]}


@pytest.mark.parametrize(
    ("subject", "payload", "code", "says"),
    [
        (
            "room.guestbook.sign.my.name",
            b"hi",
            "400",
            "'my.name' isn't a valid name here; use one token",
        ),
        ("room.guestbook.sign.me!", b"hi", "400", "isn't a valid name here"),
        ("room.guestbook.sign.me", b"", "400", "say something: the payload is your entry"),
        ("room.guestbook.sign.me", b"x" * 201, "400", "201 characters; an entry has at most 200"),
        ("room.guestbook.guests.nobody", b"", "404", "nobody has not signed the guestbook"),
        ("room.draw", b"many", "400", "'many' is no number of draws; 1 to 5000"),
        ("room.draw", b"0", "400", "is no number of draws"),
        ("room.draw", b"9" * 5000, "400", "'99999999999999999999' is no number of draws"),
    ],
)
async def test_what_cannot_be_done_is_a_service_error(room: Room, subject, payload, code, says):
    answer, error_code, error = await ask(room, subject, payload)
    assert (answer, error_code) == (None, code)
    assert says in error


async def test_every_neighbour_answers_the_roll_call(room: Room):
    nc = await room.connect()
    inbox = nc.new_inbox()
    answers = await nc.subscribe(inbox)
    await nc.publish("room.rollcall", b"", reply=inbox)
    names = [(await answers.next_msg(timeout=10)).data.decode() for _ in NAMES]
    assert sorted(names) == sorted(NAMES)
    with pytest.raises(TimeoutError):
        await answers.next_msg(timeout=0.2)
    await nc.close()


async def test_every_neighbour_wins_now_and_then(room: Room):
    winners, _, _ = await ask(room, "room.draw", b"1000")
    assert set(winners) == set(NAMES)
    assert sum(winners.values()) == 1000


async def until_drawn(room: Room, winner: str) -> None:
    """Return when this winner is drawn: the tickets have reached the hub."""
    async with asyncio.timeout(20):
        while winner not in (await ask(room, "room.draw", b"50"))[0]:
            pass


async def test_with_two_tickets_of_the_seat_the_neighbours_still_win_alike(room: Room):
    """A leaf node that knew of the group elsewhere would hand those draws to one of its own."""

    async def won(message):
        await message.respond(b"me")

    player = await room.connect()
    for _ in range(2):
        await player.subscribe("room.lottery", queue="lottery", cb=won)
    await until_drawn(room, "me")
    winners, _, _ = await ask(room, "room.draw", b"2800")
    await player.close()
    assert 300 < winners.pop("me") < 500, "two shares of 14: 400 (deviation 19)"
    assert set(winners) == set(NAMES)
    assert all(125 < wins < 275 for wins in winners.values()), "200 each (deviation 14)"


async def test_a_draw_ends_early_when_winners_are_silent(room: Room):
    silent = await room.connect()
    for _ in range(50):
        await silent.subscribe("room.lottery", queue="lottery")
    await until_drawn(room, services.SILENT)
    winners, _, _ = await ask(room, "room.draw", b"5000")
    await silent.close()
    assert services.MOST_SILENT <= winners[services.SILENT] <= 2 * services.MOST_SILENT
    assert sum(winners.values()) < 1000, "and the next one who asks gets an answer"


async def test_two_neighbours_greet_who_says_hello_and_two_bots_do_not_greet_for_ever(room: Room):
    nc = await room.connect()
    heard = await nc.subscribe("room.chat.*")
    await nc.publish("room.chat.bot", b"hello")
    greetings = 0
    while True:
        try:
            line = await heard.next_msg(timeout=10 if greetings < 2 else 0.5)
        except TimeoutError:
            break
        if not line.subject.endswith(".bot"):
            greetings += 1
            assert b"bot!" in line.data
            await nc.publish("room.chat.bot", b"hello again")
    assert 2 <= greetings <= 2 * neighbours.MOST_GREETINGS
    await nc.close()


async def test_a_bot_that_answers_its_greetings_is_not_greeted_again(room: Room):
    nc = await room.connect()
    heard = await nc.subscribe("room.chat.*")
    await nc.publish("room.chat.robot", b"Hello everybody!")
    lines: list[str] = []
    with contextlib.suppress(TimeoutError):  # of nats-py: nobody says anything any more
        while len(lines) < 20:
            message = await heard.next_msg(timeout=10 if len(lines) < 3 else 0.7)
            lines.append(message.data.decode())
            caller = message.subject.split(".")[2]
            if caller != "robot":
                await nc.publish("room.chat.robot", f"Hello {caller}!".encode())
    assert len(lines) == 5, "one hello, two greetings, an answer to each"


async def test_a_hub_that_was_away_has_its_services_again():
    with simulate(seats=2) as room:
        room.lab["hub"].restart()
        nc = await room.connect()
        deadline = time.monotonic() + 30
        answer = None
        while answer is None:
            try:
                answer = await nc.request("room.guestbook.guests", timeout=0.5)
            except nats.errors.Error:  # nobody there yet, until all are connected again
                assert time.monotonic() < deadline, "the guestbook did not come back"
        assert json.loads(answer.data) == ["ada", "alan"]
        await nc.close()


def test_a_seed_always_gives_the_same_people():
    assert neighbours.people(12, 7) == neighbours.people(12, 7)
    assert neighbours.people(12, 7) != neighbours.people(12, 8)
    many = neighbours.people(60, 1)
    assert len({person.name for person in many}) == 60


def test_twice_the_seats_let_the_hub_hear_of_the_same_subjects():
    """Neighbours share a leaf node: but for inboxes and what is theirs alone, interest doesn't grow."""

    def crossing(seats: int) -> set[str]:
        with simulate(seats) as opened:
            links = opened.lab["hub"].monitor("leafz", subs=True)["leafs"]
            (link,) = [link for link in links if link["name"] == "neighbours"]
            heard = {s.partition(" ")[0] for s in link["subscriptions_list"]}
            own = {s for s in heard if s.startswith("seats.")}
            assert len(own) == 2 * seats
            return {s for s in heard - own if not s.startswith(("_INBOX.", "$"))}

    few, many = crossing(12), crossing(24)
    assert (
        few
        == many
        == {
            *("room.rollcall", "room.lottery", "room.chat.*", "room.race.question"),
        }
    )


@pytest.mark.parametrize("seats", [0, 61, "12", None])
def test_a_number_of_seats_that_cannot_be_is_told(seats):
    with pytest.raises(
        LabError, match=f"a room of {seats!r} seats cannot be simulated; take 1 to 60"
    ):
        simulate(seats)


def test_a_room_whose_people_cannot_come_is_told_and_leaves_nothing(monkeypatch):
    monkeypatch.setattr("labkit.room.simulation.CREW", "labkit.room.nobody")
    before = labkit.running()
    with pytest.raises(LabError, match=r"the room did not open; .*No module named"):
        simulate()
    assert labkit.running() == before


def test_a_room_says_that_it_is_simulated_and_who_is_in_it(room: Room):
    assert repr(room).startswith("a simulated room, open, with 12 neighbours: ada, alan")
    assert room.seat.name == "seat"


@pytest.mark.parametrize("end", kernels.DEADLY)
def test_a_room_ends_with_its_kernel(end: str):
    with kernels.kernel() as kernel:
        kernel.run("from labkit.room import simulate\nroom = simulate()")
        family = psutil.Process(kernel.pid).children(recursive=True)
        assert any("labkit.room.crew" in " ".join(process.cmdline()) for process in family)
        kernels.DEADLY[end](kernel)
        _, alive = psutil.wait_procs(family, 10)
        assert not alive
