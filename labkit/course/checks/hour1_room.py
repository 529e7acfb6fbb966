"""Checks of hour 1: connecting the room, as the hub and its people see it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import nats.errors
from nats.micro.request import ERROR_HEADER

from labkit.course.checks.hour1 import errors_since, gather_until_quiet, newest_error, raised
from labkit.course.exercises import CLIENT_NAME, Look, exercise

if TYPE_CHECKING:
    from nats.aio.client import Client

ROOM = "room-simulated"  # the topology of labkit.room.simulate
WELL_READ = "jean"  # a neighbour with a history
ANSWER_TIMEOUT = 10.0  # seconds for a service of the room
SILENT = "(no answer)"  # what room.draw counts where a winner said nothing
FEW_DRAWS = 200  # in which a ticket is never drawn once in ten million times
DRAWS = 3000
# With 12 neighbours one ticket wins 231 of 3,000 draws (deviation 15), two win 429 (19), three 600
# (22). Two tickets fall outside of these bounds less than once in a million checks.
LEAST_WINS, MOST_WINS = 330, 525
AFRESH = (
    "Run the exercise's cell again, it ends your last attempt; what another client subscribed to ends "
    "with the room: the notebook's first cell opens a new one"
)
FLOOD = 40  # lines after one call: then a bot answers itself, and would for ever


def room_of(look: Look) -> Any:
    """The lab in which the room's servers run; ends the check when there is none."""
    if look.lab.topology != ROOM:
        look.not_attempted("no room is open: run the notebook's first code cell")
    return look.lab


async def neighbours(look: Look) -> set[str]:
    """The names of the simulated people, as the server they are connected to tells them."""
    return {client["name"] for client in await clients_of(look, "neighbours")}


async def clients_of(look: Look, server: str) -> list[dict[str, Any]]:
    """The clients of a server of the room; its leaf link counts as a connection too, not as one of these."""
    found = await asyncio.to_thread(room_of(look)[server].monitor, "connz")
    return [c for c in found["connections"] if c.get("kind") == "Client"]


async def heard_at_the_seat(look: Look, subject: str) -> list[dict[str, Any]]:
    """The subscriptions of the learner's clients that hear this subject."""
    found = await asyncio.to_thread(
        room_of(look)["seat"].monitor, "subsz", subs=True, test=subject, limit=1000
    )
    clients = {client["cid"] for client in await clients_of(look, "seat")}
    return [s for s in found.get("subscriptions_list") or [] if s.get("cid") in clients]


async def link_settled(look: Look, host: Client) -> None:
    """Return when each side of the leaf link knows what has been subscribed to on the other side.

    Interest crosses in the order in which it arose: when a new subject is reached, so are the older.
    """
    seat = await look.connect("seat")
    for asker, answerer in ((seat, host), (host, seat)):
        echo = await answerer.subscribe(answerer.new_inbox(), cb=_echo)
        async with asyncio.timeout(ANSWER_TIMEOUT):
            while not await _reached(asker, echo.subject):
                await asyncio.sleep(0.005)
        await echo.unsubscribe()


async def _echo(message: Any) -> None:
    await message.respond(message.data)


async def _reached(asker: Client, subject: str) -> bool:
    try:
        await asker.request(subject, timeout=1)
    except nats.errors.Error:
        return False
    return True


async def ask(host: Client, subject: str, payload: bytes = b"") -> Any:
    """What a service of the room answers. Raises LookupError with its sentence when it refuses."""
    answer = await host.request(subject, payload, timeout=ANSWER_TIMEOUT)
    if refusal := (answer.headers or {}).get(ERROR_HEADER):
        raise LookupError(f"{subject} was answered with: {refusal}")
    return json.loads(answer.data)


@exercise(
    "1.7",
    title="Sign the guestbook",
    notebook="13",
    hints=(
        'Signing is a request: `await nc.request(f"room.guestbook.sign.{me}", b"…")`. The second one '
        "is added to your history.",
        'The answer on `room.guestbook.guests.jean` is JSON: `json.loads(answer.data)["entries"]` is '
        "a list, oldest first.",
    ),
)
async def guestbook(look: Look) -> None:
    """Asks the guestbook itself, from the hub."""
    people = await neighbours(look)
    host = await look.connect("hub")
    visitors = sorted(set(await ask(host, "room.guestbook.guests")) - people)
    if not visitors:
        look.not_attempted(
            "nobody but your neighbours has signed the guestbook; sign as `me`, and let `me` be "
            "letters a-z, digits, - or _, and a name that no neighbour has"
        )
    books = [await ask(host, f"room.guestbook.guests.{name}") for name in visitors]
    mine = max(books, key=lambda book: len(set(book["entries"])))
    look.expect(
        len(set(mine["entries"])) > 1,
        f"{mine['name']} has signed more than once: {len(mine['entries'])} entries",
        f"{mine['name']} has one entry so far, {mine['entries'][-1]!r}; "
        "sign once more, with another text: the guestbook keeps the last five",
    )
    theirs = (await ask(host, f"room.guestbook.guests.{WELL_READ}"))["entries"]
    answer = look.answer.decode(errors="replace") if isinstance(look.answer, bytes) else look.answer
    look.expect(
        answer == theirs[0],
        f"{WELL_READ}'s first entry is {theirs[0]!r}",
        _no_first_entry(answer, theirs),
    )


def _no_first_entry(answer: Any, entries: list[str]) -> str:
    """What is wrong with an answer that is not the first of these entries."""
    where = f"from the answer on room.guestbook.guests.{WELL_READ}"
    if answer is None:
        return f"first_entry is still empty; put {WELL_READ}'s first entry there, {where}"
    if asyncio.iscoroutine(answer):
        answer.close()
        return "first_entry is a question that was never asked: put `await` in front of nc.request"
    if not isinstance(answer, str):
        return (
            f"first_entry is a {type(answer).__name__}, not a text; take one entry, the text itself, "
            f"{where}: json.loads of its data has a list under 'entries'"
        )
    if answer == entries[-1]:
        return f"{answer!r} is {WELL_READ}'s latest entry; the oldest one comes first in the list"
    return (
        f"{answer!r} is not what {WELL_READ} wrote first; take one entry, the text itself, {where}"
    )


@exercise(
    "1.8",
    title="Answer the roll call",
    notebook="13",
    hints=(
        "You need a subscription on `room.rollcall` with a callback, on your own connection. No "
        "queue group: everybody answers.",
        "In the callback: `await message.respond(me.encode())`. It publishes to the reply subject "
        "of the request.",
    ),
)
async def roll_call(look: Look) -> None:
    """Calls the roll from the hub and gathers the answers."""
    people = await neighbours(look)
    listening = await heard_at_the_seat(look, "room.rollcall")
    if not listening:
        look.not_attempted("nobody listens on room.rollcall at your server yet")
    host = await look.connect("hub")
    answers: list[Any] = []
    inbox = await host.subscribe(host.new_inbox(), cb=_collect(answers))
    await link_settled(look, host)
    last = newest_error(look)
    await host.publish("room.rollcall", b"", reply=inbox.subject)
    await gather_until_quiet(answers, len(people) + 1, patience=2)
    await gather_until_quiet(answers, len(people) + 100, patience=0.3)  # who answers twice?
    names = [message.data.decode(errors="replace") for message in answers]
    others = [name for name in names if name not in people]
    groups = {subscription["qgroup"] for subscription in listening if "qgroup" in subscription}
    look.expect(
        not groups,
        "your subscription is in no queue group",
        f"your subscription is in the queue group {', '.join(sorted(groups))}: of a group only one "
        "member gets the call, and everybody should answer. Leave `queue=` out",
    )
    if look.expect(
        bool(others),
        f"{len(people)} neighbours answered, and you",
        f"{len(names)} neighbours answered, and nothing came from you, although you listen"
        + (
            raised(errors_since(look, last))
            or "; is `await message.respond(...)` missing, or its `await`?"
        ),
    ):
        signed = await ask(host, "room.guestbook.guests")
        look.expect(
            bool(others[0].strip()) and (others[0] != "me" or "me" in signed),
            f"you answered {others[0]!r}",
            "you answered with the word me; respond with the name in it, me.encode()"
            if others[0].strip()
            else "your answer is empty; respond with your name as bytes",
        )
        look.expect(
            len(others) == 1,
            "once",
            f"you answered {len(others)} times: {', '.join(others)}. {AFRESH}",
        )


async def _close_who_hears(look: Look, subject: str) -> None:
    """Close the learner's clients that hear this subject."""
    hearing = {subscription["cid"] for subscription in await heard_at_the_seat(look, subject)}
    for client in look.lab.clients.connected(look.lab["seat"].url):
        if client.client_id in hearing and client.options["name"] != CLIENT_NAME:
            await client.close()


def _collect(found: list[Any]) -> Any:
    async def remember(message: Any) -> None:
        found.append(message)

    return remember


@exercise(
    "1.9",
    title="Play, then double your odds",
    notebook="13",
    hints=(
        'A ticket is a subscription on `room.lottery` with `queue="lottery"`, whose callback '
        "responds with your name.",
        "The queue group counts members, not people. What is a member? Subscribe the same callback "
        "a second time.",
    ),
)
async def lottery(look: Look) -> None:
    """Lets the hub draw, and compares the learner's share with that of two tickets."""
    people = await neighbours(look)
    tickets = await heard_at_the_seat(look, "room.lottery")
    if not tickets:
        look.not_attempted("nobody listens on room.lottery at your server yet")
    outside = [ticket for ticket in tickets if ticket.get("qgroup") != "lottery"]
    if not look.expect(
        not outside,
        'your tickets are in the queue group "lottery"',
        'a subscription of yours on room.lottery is not in the queue group: write queue="lottery". '
        f"Outside of the group you answer every draw, and that is no game. {AFRESH}",
    ):
        return
    host = await look.connect("hub")
    await link_settled(look, host)
    last = newest_error(look)
    for draws in (FEW_DRAWS, DRAWS):
        winners = await ask(host, "room.draw", str(draws).encode())
        if silent := winners.get(SILENT, 0) + winners.get("", 0):
            look.expect(
                False,
                "",
                f"in {silent} of {sum(winners.values()):,} draws the winner said nothing"
                + (
                    raised(errors_since(look, last))
                    or "; has each subscription a callback, and is "
                    "`await message.respond(me.encode())` in it?"
                ),
            )
            return
    look.expect(True, "whoever was drawn said their name")
    won = sum(wins for name, wins in winners.items() if name not in people)
    share = f"of {DRAWS:,} draws"
    if not look.expect(
        won > 0 and ("me" not in winners or "me" in await ask(host, "room.guestbook.guests")),
        "the winner's name was yours",
        "the winner's name was the word me; respond with the name in it, me.encode()"
        if won
        else f"your tickets won {share}, and your name was never said: is `me` a neighbour's name?",
    ):
        return
    look.expect(
        won >= LEAST_WINS,
        f"{share}, you won about twice as many as anybody with one ticket",
        f"you won {won} {share}: one ticket in {len(people) + 1} wins about {DRAWS // 13}. "
        "What does the group count as a member?",
    )
    look.expect(
        won <= MOST_WINS,
        "two tickets, no more",
        f"you won {won} {share}: {len(tickets)} tickets. Double your odds, no more. {AFRESH}",
    )


@exercise(
    "1.10",
    title="A bot in the chat",
    notebook="13",
    hints=(
        "Subscribe to `room.chat.*`. Who speaks is the third token of `message.subject`, what they "
        "say is `message.data.decode()`.",
        "Your own lines come back to you too: leave the callback when the handle is your own, or "
        "your name is not in the text. Then publish on `room.chat.<your name>`.",
    ),
)
async def chat(look: Look) -> None:
    """Mentions the learner in the chat, and not, and listens to what comes back."""
    people = await neighbours(look)
    me = look.answer
    if not isinstance(me, str) or not me or any(mark in me for mark in " .*>"):
        look.not_attempted('give your name: await check("1.10", me), one word without dots')
    if me in people:
        look.not_attempted(f"{me} is your neighbour's name; let `me` be one that nobody has")
    if not await heard_at_the_seat(look, "room.chat.inspector"):
        look.not_attempted("nobody listens to room.chat.* at your server yet")
    host = await look.connect("hub")
    lines: list[Any] = []
    await host.subscribe("room.chat", cb=_collect(lines))
    await host.subscribe("room.chat.>", cb=_collect(lines))
    await link_settled(look, host)

    async def said_after(text: str) -> list[tuple[str, str]]:
        """What was said after a line of the check, by others than neighbours and not to them."""
        del lines[:]
        await host.publish("room.chat.inspector", text.encode())
        await gather_until_quiet(lines, 50, patience=0.5)
        found = [(m.subject, m.data.decode(errors="replace")) for m in lines]
        ours = {f"room.chat.{name}" for name in [*people, "inspector"]}
        return [
            (subject, line)
            for subject, line in found
            if subject not in ours and not any(name in line for name in people)
        ]

    last = newest_error(look)
    called = await said_after(f"is {me} here?")
    if not look.expect(
        bool(called),
        f'somebody said "is {me} here?", and you answered',
        f'somebody said "is {me} here?" on room.chat.inspector, and you said nothing within half '
        "a second" + (raised(errors_since(look, last)) or "; is `await` in front of your publish?"),
    ):
        return
    if len(called) > FLOOD:
        await _close_who_hears(look, "room.chat.inspector")
        look.expect(
            False,
            "",
            "your bot answered its own lines, and would have done so for ever: your own lines come back "
            "to you too. The check has closed its client; mend it, and run the exercise's cell again",
        )
        return
    subjects = {subject for subject, _ in called}
    look.expect(
        subjects == {f"room.chat.{me}"},
        f"on room.chat.{me}",
        f"you spoke on {', '.join(sorted(subjects))}; your place is room.chat.{me}",
    )
    look.expect(
        len(called) == 1,
        "once",
        f"you said {len(called)} lines to one call. Your own lines come back to you too: does your "
        f"bot answer itself? {AFRESH}",
    )
    look.expect(
        "inspector" in called[0][1],
        f"to whom had called: {called[0][1][:60]!r}",
        f"your line {called[0][1][:60]!r} does not name who called; that is the subject's third token",
    )
    unasked = await said_after("anybody for tea?")
    look.expect(
        not unasked,
        "and kept quiet when your name was not mentioned",
        'you also answered "anybody for tea?", in which your name is not',
    )
