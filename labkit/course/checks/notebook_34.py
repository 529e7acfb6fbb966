"""Checks of notebook 34: where a server's mappings send what is published, with subjects made up for this run."""

from __future__ import annotations

from collections import Counter

from nats.aio.client import Client as NatsClient

from labkit.course import play
from labkit.course.look import CLIENT_NAME, Look
from labkit.servers.errors import LabError
from labkit.servers.topology import RunningTopology

COUNTRIES, EACH = 3, 1000
# Of 3,000 messages a tenth is 300, with a deviation of 16. Outside of these bounds falls a right
# answer less than once in a million checks.
LEAST, MOST = 215, 385
USERS, ROOMS, TIMES = (
    40,
    3,
    2,
)  # 40 users leave one of three workers idle once in three million times


async def a_tenth_for_v2(look: Look) -> None:
    """Starts a server with the learner's file, publishes, and counts where the messages come out."""
    async with await _started(look, "canary") as lab:
        client = look.mine(await lab.connect(name=CLIENT_NAME))
        countries = play.names(COUNTRIES, but=["checkout"])
        others = ["checkout", f"checkout.{countries[0]}.{countries[1]}", f"till.{countries[0]}"]
        sent = [f"checkout.{country}" for country in countries for _ in range(EACH)]
        came = Counter(await _come_out(look, client, play.chance.sample(sent, len(sent))))
        stayed = sum(came[subject] for subject in {*sent})
        wrong = "some" if stayed < len(sent) else ""
        look.must(not stayed, "same", wrong=wrong, subject=sent[0], count=stayed, sent=len(sent))
        whole = [f"v{n}.checkout.{c}" for c in countries for n in (1, 2)]
        strange = sorted(came.keys() - {*whole})
        look.must(not strange, "names", strange=strange)
        total, new = came.total(), sum(came[s] for s in came if s.startswith("v2."))
        look.must(total == len(sent), "all", sent=len(sent), total=total)
        wrong = "swapped" if new > 0.8 * len(sent) else ""
        look.expect(LEAST <= new <= MOST, "tenth", wrong=wrong, new=new, sent=len(sent))
        mapped = {s: got for s in others if (got := await _come_out(look, client, [s])) != [s]}
        look.expect(not mapped, "others", cases=[f"{s} → {got}" for s, got in mapped.items()])


async def sits_together(look: Look) -> None:
    """Starts a server with the learner's file, and has many users write in several rooms."""
    async with await _started(look, "seating") as lab:
        client = look.mine(await lab.connect(name=CLIENT_NAME))
        rooms = play.names(ROOMS, but=["chat", "work"])
        users = [f"user-{number}" for number in play.numbers(USERS)]
        numbers: dict[str, list[str]] = {user: [] for user in users}
        sent = TIMES * [(room, user) for room in rooms for user in users]
        came = await _come_out(look, client, [f"chat.{room}.{user}" for room, user in sent])
        look.must(len(came) == len(sent), "all", sent=len(sent), total=len(came))
        for (room, user), subject in zip(sent, came, strict=True):
            work, _, rest = subject.partition(".")
            number, _, tail = rest.partition(".")
            facts = {"subject": f"chat.{room}.{user}", "got": subject}
            look.must(subject != facts["subject"], "same", **facts)
            look.must(work == "work" and tail == f"{room}.{user}", "names", **facts)
            numbers[user].append(number)
        used = {number for found in numbers.values() for number in found}
        apart = [user for user, found in numbers.items() if len(set(found)) > 1]
        user = apart[0] if apart else ""
        look.must(not apart, "together", user=user, workers=set(numbers.get(user, ())))
        look.expect(used == {"0", "1", "2"}, "three", used=used)
        others = ["chat", f"chat.{rooms[0]}", f"chat.{rooms[0]}.{users[0]}.x", f"talk.{rooms[0]}.x"]
        mapped = {s: got for s in others if (got := await _come_out(look, client, [s])) != [s]}
        look.expect(not mapped, "others", cases=[f"{s} → {got}" for s, got in mapped.items()])


async def _started(look: Look, name: str) -> RunningTopology:
    """A lab with the file that is the answer; ends the check where there is none, or it doesn't start."""
    text = look.answer
    look.need(isinstance(text, str) and text.strip(), "text")
    try:
        return await play.servers(look, {name: text})
    except LabError as refusal:
        look.must(False, "refused", why=" ".join(str(refusal).split()))
        raise


async def _come_out(look: Look, client: NatsClient, subjects: list[str]) -> list[str]:
    """The subjects with which messages that are published on these arrive, in their order."""
    ear = await look.listen(">", client)
    for subject in subjects:
        await client.publish(subject, b"")
    await ear.take(len(subjects))
    return [m.subject for m in ear.messages if m.subject[:1] not in "_$"]
