"""Checks of notebook 11: publish and subscribe, as the server and a stranger on the network see it."""

from __future__ import annotations

from labkit.course import play
from labkit.course.look import Look
from labkit.course.wording import is_slow_consumer

MOST_READINGS, BURST = 60, 2000  # of one host; all at once
STANDSTILL = 1.5  # seconds that the event loop may be held; one that blocks holds it for 4, a busy machine for 0.6


async def european_stores(look: Look) -> None:
    """Asks the server which subscriptions hear stores of fresh names, here and elsewhere."""
    client, (near, far) = await look.client("eu-stores", newest=True), play.names(2)
    till, subjects = play.chance.randint(1, 30), {s.subject for s in client.subscriptions}
    stores = [f"store.eu.{near}", "store.eu.berlin"]
    wanted = [*stores, f"store.eu.{near}.{till}", f"store.eu.{far}.{till + 1}"]
    others = ["store.us.seattle", f"store.us.{near}.{till}", f"store.europe.{far}"]
    others += [f"shop.eu.{near}", f"Store.EU.{far}", "store.eu"]
    reached = {subject: await client.on(subject) for subject in wanted + others}
    missed = [subject for subject in wanted if not reached[subject]]
    tills = "" if set(missed) & set(stores) else "tills"
    wrong = "stores" if set(missed) == set(stores) else tills
    facts = {"wanted": wanted, "missed": missed, "subjects": subjects}
    look.expect(not missed, "delivered", wrong=wrong, **facts)
    strange = [subject for subject in others if reached[subject]]
    through = {s.subject for subject in strange for s in reached[subject]}
    look.expect(not strange, "elsewhere", others=others, strange=strange, through=through)
    used = {s.subject for found in reached.values() for s in found}
    more = [s for s in subjects - used if not s.startswith(("store.eu.", "_INBOX."))]
    look.must(missed or strange or not more, "more", more=more)
    doubled = [subject for subject in wanted if len(reached[subject]) > 1]
    look.expect(not doubled, "once", doubled=doubled, subjects=subjects)


async def fan_in(look: Look) -> None:
    """Plays hosts of fresh names, each on its own connection, and reads what reaches the dashboard."""
    collector, who = await look.client("collector"), ["ada", *play.names(3, but=["ada"])]
    heard = [s for name in who for s in await collector.on(f"metrics.{name}.cpu")]
    look.must(heard, "deaf", subjects={s.subject for s in collector.subscriptions})
    found = {(s.cid, s.sid): s.subject for s in heard}
    look.expect(len(found) == 1, "one", found=list(found.values()))
    dashboard, sent = await look.listen("dashboard"), []
    hosts = {name: await look.connect() for name in who}
    rounds = {name: play.chance.randint(MOST_READINGS // 2, MOST_READINGS) for name in who}
    for number in range(MOST_READINGS):
        for name in (name for name in who if number < rounds[name]):
            reading = str(play.chance.randint(1, 12))  # readings repeat, also one after another
            sent.append(f"{name} {reading}")
            await hosts[name].publish(f"metrics.{name}.cpu", reading.encode())
            for other in (f"metrics.{name}.disk", f"metrics.{name}.cpu.load", f"power.{name}.cpu"):
                await hosts[name].publish(other, b"full")
    came = await dashboard.take(len(sent))
    look.must(came, "nothing")
    look.compare("readings", sent, came, by=lambda line: line.partition(" ")[0], who=who)


async def slow_screen(look: Look) -> None:
    """Compares the answer with the clients that reported a slow consumer through error_cb."""
    look.need(isinstance(look.answer, str), "name")
    names = {connection.name for connection in await look.connections()}
    screens = names & {"screen-1", "screen-2", "screen-3"}
    look.need(screens, "screens")
    slow = {e.client for e in look.lab.clients.errors if is_slow_consumer(e.error)} & screens
    look.need(slow, "prices")
    look.must(look.answer in screens, "there", answer=look.answer, screens=screens)
    look.expect(look.answer in slow, "slow", answer=look.answer)


async def cured(look: Look) -> None:
    """Sends the burst, counts what was stored, and watches the connection and the event loop."""
    recorder = await look.client("recorder")
    await recorder.on("readings", must=True)
    probe, stored, readings = await look.connect(), await look.listen("stored"), play.numbers(BURST)
    async with play.standstill() as held:
        for reading in readings:
            await probe.publish("readings", reading.encode())
        came = await stored.take(BURST)
    slow = any(map(is_slow_consumer, look.errors("recorder")))
    look.compare("full" if slow else "readings", readings, came)
    if came or held.longest >= STANDSTILL:
        here = {connection.cid for connection in await look.connections("recorder")}
        look.expect(here == recorder.cids, "connection")
        look.expect(held.longest < STANDSTILL, "held", held=held.longest)
