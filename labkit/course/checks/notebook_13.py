"""Checks of notebook 13: connecting the room, as somebody else in the room sees it."""

from __future__ import annotations

import inspect
import re
from collections import Counter

from labkit.course import play
from labkit.course.look import Look
from labkit.room import ask_service

WELL_READ = "jean"  # a neighbour with a history
CALLS = 3  # of the roll, and in the chat
FEW_DRAWS, DRAWS = 200, 3000  # in the few, a ticket is never drawn once in ten million times
SILENT = ("(no answer)", "")  # what room.draw counts where a winner said nothing
# With 12 neighbours one ticket wins 231 of 3,000 draws (deviation 15), two win 429 (19), three 600
# (22). Two tickets fall outside of these bounds less than once in a million checks.
LEAST_WINS, MOST_WINS = 330, 525
FLOOD = 40  # lines after one call: then a bot answers itself, and would for ever


async def guestbook(look: Look) -> None:
    """Asks the guestbook itself."""
    me, _, visitor = await play.in_the_room(look)
    guests = await ask_service(visitor, "room.guestbook.guests")
    look.need(me in guests, "signed", me=me)
    mine = (await ask_service(visitor, f"room.guestbook.guests.{me}"))["entries"]
    look.expect(len(set(mine)) > 1, "twice", me=me, mine=mine)
    theirs = (await ask_service(visitor, f"room.guestbook.guests.{WELL_READ}"))["entries"]
    answer = look.answers[1] if len(look.answers) > 1 else None
    answer = answer.decode(errors="replace") if isinstance(answer, bytes) else answer
    right, wrong = False, "empty" if answer is None else "text"
    if isinstance(answer, str):
        right, wrong = answer == theirs[0], "latest" if answer == theirs[-1] else "first"
    elif inspect.iscoroutine(answer):
        answer.close()
        wrong = "await"
    facts = {"first": theirs[0], "answer": answer, "kind": type(answer).__name__}
    look.expect(right, "first", wrong=wrong, who=WELL_READ, **facts)


async def roll_call(look: Look) -> None:
    """Calls the roll several times as somebody else in the room, and counts the answers to each call."""
    me, people, visitor = await play.in_the_room(look)
    listening = await look.hearing("room.rollcall", look.room.seat)
    look.need(listening, "deaf")
    groups = {s.queue for s in listening if s.queue}
    look.expect(not groups, "group", groups=groups)
    other, elsewhere = f"room.{play.names(1)[0]}", await look.listen(visitor.new_inbox(), visitor)
    await visitor.publish(other, reply=elsewhere.subject)
    for number in range(1, CALLS + 1):
        inbox = await look.listen(visitor.new_inbox(), visitor)
        await visitor.publish("room.rollcall", reply=inbox.subject)
        names = await inbox.take(len(people) + 1)
        others = list((Counter(names) - Counter(people)).elements())
        look.must(others, "nothing", names=names, number=number, calls=CALLS)
        wrong = {"": "empty", "me": "word"}.get(others[0].strip(), "answered")
        del look.lines[1:]  # what was met at the last call
        look.must(others[0] == me, "answered", wrong=wrong, answer=others[0], me=me, people=people)
        look.must(len(others) == 1, "once", others=others, calls=CALLS)
    answered = [m for m in elsewhere.messages if not (m.headers or {}).get("Status")]
    look.expect(not answered, "elsewhere", subject=other)


async def lottery(look: Look) -> None:
    """Lets the room draw, and compares the learner's share with that of two tickets."""
    me, people, visitor = await play.in_the_room(look)
    tickets = await look.hearing("room.lottery", look.room.seat)
    look.need(tickets, "deaf")
    look.must(all(t.queue == "lottery" for t in tickets), "group")
    for draws in (FEW_DRAWS, DRAWS):
        winners = await ask_service(visitor, "room.draw", str(draws).encode())
        silent = sum(winners.get(name, 0) for name in SILENT)
        if silent or draws == DRAWS:
            look.must(not silent, "said", silent=silent, drawn=sum(winners.values()))
    won, strangers = winners.get(me, 0), set(winners) - people - {me}
    wrong = ("word" if "me" in strangers else "strangers") if strangers else "yours"
    right = won and not strangers
    look.must(right, "yours", wrong=wrong, draws=DRAWS, me=me, strangers=strangers)
    slips = [number.encode() for number in play.numbers(FEW_DRAWS)]
    most = max((await play.ask_all(look, "room.lottery", slips, visitor)).values(), key=len)
    look.must(len(most) <= 1, "once", answers=[m.data.decode(errors="replace") for m in most])
    share = DRAWS // (len(people) + 1)
    look.expect(won >= LEAST_WINS, "few", won=won, draws=DRAWS, seats=len(people) + 1, share=share)
    look.expect(won <= MOST_WINS, "many", won=won, draws=DRAWS, tickets=tickets)


async def chat(look: Look) -> None:
    """Mentions the learner in the chat under several names, and not, and listens to what comes back."""
    me, people, visitor = await play.in_the_room(look)
    look.need(await look.hearing("room.chat.inspector", look.room.seat), "deaf")
    callers = play.names(2, but=[me, *people])
    neighbours = {f"room.chat.{name}" for name in people}
    ears = [await look.listen(subject, visitor) for subject in ("room.chat.>", "room.chat")]

    async def said_after(caller: str, text: str) -> list[tuple[str, str]]:
        """What was said after a line of the caller's, but for the neighbours' talk; a flood ends the check."""
        for ear in ears:
            ear.messages.clear()
        await visitor.publish(f"room.chat.{caller}", text.encode())
        await ears[0].take(2, patience=0.5)
        found = [(m.subject, m.data.decode(errors="replace")) for e in ears for m in e.messages]
        found = [said for said in found if said != (f"room.chat.{caller}", text)]
        theirs = [s in neighbours or people & set(re.findall(r"[\w-]+", t)) for s, t in found]
        said = [said for said, talk in zip(found, theirs, strict=True) if not talk]
        if len(said) > FLOOD:
            await play.close_who_hears(look, "room.chat.inspector")
            look.must(False, "flood")
        return said

    calls = ((0, "is {} here?"), (1, "{}!"), (0, "I look for {}, please"))
    for caller, text in ((callers[n], text.format(me)) for n, text in calls):
        said = await said_after(caller, text)
        look.must(said, "nothing", caller=caller, text=text)
        look.lines.clear()  # what was met at the last call
        subjects, line = {subject for subject, _ in said}, said[0][1]
        look.must(subjects == {f"room.chat.{me}"}, "place", me=me, subjects=subjects, calls=calls)
        look.must(caller in line, "caller", line=line, caller=caller)
        look.must(len(said) == 1, "once", said=said)
    for caller, text in ((callers[0], "tell me, what is for tea?"), (me, f"I am {me}")):
        if (caller == me or me not in text) and await said_after(caller, text):
            look.must(False, "quiet", wrong="self" if caller == me else "", text=text)
    look.expect(True, "quiet")
