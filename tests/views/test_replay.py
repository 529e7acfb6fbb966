"""Slow motion: what was recorded or traced moves on the map as it happened."""

from __future__ import annotations

import asyncio
import itertools
import xml.etree.ElementTree as ET
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import nats.errors
import pytest

import labkit
from labkit.servers import topology
from labkit.servers.errors import LabError
from labkit.servers.wait import wait_until
from labkit.views import flights, live
from labkit.views.flights import APART, SHORTEST, Flight, Leg, schedule
from labkit.views.record import Record
from labkit.views.replay import Replay

SVG = "{http://www.w3.org/2000/svg}"


def dots(replay: Replay) -> list[ET.Element]:
    return [c for c in ET.fromstring(replay.svg).iter(f"{SVG}circle") if len(c)]


def texts(replay: Replay) -> list[str]:
    return [text.text or "" for text in ET.fromstring(replay.svg).iter(f"{SVG}text")]


async def recorded(
    lab: labkit.Lab, act: Callable[..., Awaitable[None]], *names: str
) -> tuple[Record, list[Any]]:
    """What clients of these names, each on a server of its own, did and received."""
    clients = [await lab.connect(n, name=name) for n, name in zip(lab, names, strict=False)]
    with labkit.record(*clients) as record:
        await act(*clients)
        for client in clients:
            await client.flush()
    return record, clients


def known_at_n1(lab: labkit.Lab) -> int:
    """How many routes say that somebody beyond listens to news and to jobs."""
    routes = lab["n1"].monitor("routez", subs=True)["routes"]
    known = [" ".join(route.get("subscriptions_list") or ()) for route in routes]
    return sum("news" in names and "jobs" in names for names in known)


async def fan_out(lab: labkit.Lab, ada: Any, bob: Any, eve: Any) -> None:
    for client in (bob, eve):
        await client.subscribe("news")
        await client.subscribe("jobs", queue="workers")
        await client.flush()
    await asyncio.to_thread(wait_until, lambda: known_at_n1(lab) == 2, 10, "n1 to hear of both")
    await ada.publish("news", b"1")
    await ada.publish("jobs", b"1")
    await ada.flush()
    for client in (bob, eve):
        await client.flush()


async def test_fan_out_goes_to_all_and_a_queue_group_to_one():
    with labkit.start("cluster") as lab:
        record, clients = await recorded(lab, partial(fan_out, lab), "ada", "bob", "eve")
        flown = flights.of_record(record, [("n1", "n2"), ("n1", "n3"), ("n2", "n3")])
        news = [flight for flight in flown if flight.subject == "news"]
        jobs = [flight for flight in flown if flight.subject == "jobs"]
        assert sorted(flight.receiver for flight in news) == ["bob", "eve"]
        assert len(jobs) == 1
        assert news[0].legs[:1] == (Leg("in", "n1", "ada"),)
        assert {leg for flight in news for leg in flight.legs} == {
            Leg("in", "n1", "ada"),
            *(Leg("link", "n1", "n2"), Leg("out", "n2", "bob")),
            *(Leg("link", "n1", "n3"), Leg("out", "n3", "eve")),
        }
        shown, _ = schedule(flown, [], steady=False)
        begins = {s.begin for s in shown if s.flight.subject == "news"}
        assert len(begins) == 1
        replay = await labkit.replay.aio(record, lab)
        legs = sum(len(flight.legs) for flight in flown)
        assert len(dots(replay)) == legs
        assert {"news", "jobs", "ada", "bob", "eve"} <= set(texts(replay))
        for client in clients:
            await client.close()


async def test_a_reply_is_a_ring_and_starts_when_the_request_has_arrived():
    async def act(asker: Any, answerer: Any) -> None:
        async def respond(message: Any) -> None:
            await message.respond(b"81")

        await answerer.subscribe("price", cb=respond)
        await answerer.flush()
        for number in range(50):  # until the subscription is known there
            try:
                await asker.request("price", b"%d" % number, timeout=2)
                return
            except nats.errors.NoRespondersError:
                await asyncio.sleep(0.02)

    with labkit.start("cluster") as lab:
        record, clients = await recorded(lab, act, "asker", "answerer")
        flown = [f for f in flights.of_record(record, [("n1", "n2")]) if f.end]
        request, reply = flown[-2:]
        assert (request.reply, reply.reply) == (False, True)
        shown = {s.flight: s for s in schedule(flown, [], steady=False)[0]}
        assert shown[reply].begin >= shown[request].finish
        replay = labkit.replay(record, lab)
        rings = [dot for dot in dots(replay) if dot.get("fill") == "#fff"]
        assert len(rings) == len(reply.legs) == 3
        assert "a reply" in texts(replay)
        for client in clients:
            await client.close()


async def test_a_message_that_nobody_got_ends_at_its_server():
    async def act(ada: Any) -> None:
        await ada.publish("nobody.hears", b"x")

    with labkit.start("single") as lab:
        record, (ada,) = await recorded(lab, act, "ada")
        (flight,) = flights.of_record(record, [])
        assert (flight.receiver, flight.legs) == ("", (Leg("in", "n1", "ada"),))
        assert len(dots(labkit.replay(record, lab))) == 1
        await ada.close()


async def test_a_server_that_was_killed_is_shown_so_until_it_was_back():
    with labkit.start("cluster") as lab:
        ada = await lab.connect("n1", name="ada")
        with labkit.record(ada) as record:
            await ada.publish("a", b"before")
            await ada.flush()
            await lab["n3"].kill.aio()
            await ada.publish("a", b"between")
            await lab["n3"].start.aio()
            await ada.publish("a", b"after")
            await ada.flush()
        await lab.wait_usable.aio()
        replay = labkit.replay(record, lab)
        assert texts(replay).count("n3") == 2
        assert {"✕ killed", "kill n3", "start n3"} <= set(texts(replay))
        kill, start = (m.time_ns for m in record.marks(lab.events))
        shown, told = schedule(flights.of_record(record, []), [kill, start], steady=False)
        before, between, after = shown
        assert before.finish <= told[kill] < between.begin < told[start] < after.begin
        await ada.close()


async def test_a_link_that_was_cut_is_shown_so():
    with labkit.start("cluster") as lab:
        ada = await lab.connect("n1", name="ada")
        with labkit.record(ada) as record:
            await ada.publish("a", b"1")
            await ada.flush()
            await lab.cut.aio("n1", "n2")
            await lab.heal.aio()
            await ada.publish("a", b"2")
            await ada.flush()
        assert "✂ cut" in texts(labkit.replay(record, lab))
        await ada.close()


@pytest.mark.parametrize("topology", ["supercluster", "leaf-of-supercluster"])
async def test_a_trace_goes_hop_by_hop(topology: str):
    with labkit.start(topology) as lab:
        first, *_, last = lab
        ada, bob = await lab.connect(first, name="ada"), await lab.connect(last, name="bob")
        await bob.subscribe("hello")
        await bob.flush()
        for _ in range(100):
            trace = await labkit.trace(ada, "hello")
            if any(event.name == "bob" for event in trace.events):
                break
        flown = flights.of_trace(trace)
        assert (flown[0].legs[0].kind, flown[-1].legs[0]) == ("in", Leg("out", last, "bob"))
        shown, _ = schedule(flown, [], steady=False)
        passed_on = {s.flight.sender: s.begin for s in shown}
        arrived = {s.flight.receiver: s.finish for s in shown}
        assert all(passed_on[who] >= at for who, at in arrived.items() if who in passed_on)
        assert len(dots(labkit.replay(trace, lab))) == len(flown)
        for client in (ada, bob):
            await client.close()


async def test_the_picture_is_the_same_in_every_run_and_has_no_script():
    pictures = []
    for _ in range(2):
        with labkit.start("cluster") as lab:
            record, clients = await recorded(lab, fan_out_only, "ada", "bob", "eve")
            replay = labkit.replay(record, lab)
            pictures.append(replay.svg)
            assert set(replay._repr_mimebundle_()) == {"text/plain", "image/svg+xml"}
            for client in clients:
                await client.close()
    assert pictures[0] == pictures[1]
    assert "<script" not in pictures[0]


async def fan_out_only(ada: Any, bob: Any, eve: Any) -> None:
    await bob.subscribe("news")
    await bob.flush()
    await bob.publish("done", b"1")
    await bob.flush()


def test_a_speed_control_is_there_where_a_view_may_move(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(live, "moves", lambda: True)
    replay = Replay("<svg/>", "nothing", 4.0)
    assert "<script>" in replay._repr_mimebundle_()["text/html"]


def flight(start: int, end: int, sender: str = "ada", receiver: str = "bob") -> Flight:
    return Flight(start, end, sender, receiver, "a", (Leg("in", "n1", sender),))


def test_what_happened_later_is_shown_later_in_proportion():
    shown, _ = schedule([flight(0, 10), flight(500, 510), flight(2000, 2010)], [], steady=False)
    begins = [s.begin for s in shown]
    assert begins == sorted(begins)
    assert (begins[2] - begins[1]) / (begins[1] - begins[0]) == pytest.approx(3, rel=0.05)


def test_messages_at_nearly_one_moment_are_seen_one_after_the_other():
    shown, _ = schedule([flight(n, n + 1) for n in range(5)] + [flight(10**9, 10**9)], [], False)
    gaps = [b.begin - a.begin for a, b in itertools.pairwise(shown)]
    assert min(gaps) >= APART - 0.01
    assert all(s.finish - s.begin >= SHORTEST - 0.01 for s in shown)


async def test_what_cannot_be_played_is_told(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(LabError, match="cannot be played; give what"):
        labkit.replay("hello")
    with monkeypatch.context() as alone, pytest.raises(LabError, match="no lab runs here"):
        alone.setattr(topology, "running", list)
        labkit.replay(Record())
    with labkit.start("single") as lab:
        with pytest.raises(LabError, match="the record is empty"):
            labkit.replay(Record(), lab)
        stranger = Record()
        stranger.sent("ada", "a")
        with pytest.raises(LabError, match="nothing in it went between the clients and servers"):
            labkit.replay(stranger, lab)


async def test_a_long_record_says_what_it_leaves_out():
    async def act(ada: Any) -> None:
        for number in range(flights.MOST_FLIGHTS + 50):
            await ada.publish("a", b"%d" % number)

    with labkit.start("single") as lab:
        record, (ada,) = await recorded(lab, act, "ada")
        assert "50 left out" in repr(labkit.replay(record, lab))
        await ada.close()
