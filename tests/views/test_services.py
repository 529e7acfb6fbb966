"""`watch_services` shows what the services say of themselves, and who no longer answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import nats.micro
import pytest
from nats.aio.client import Client
from nats.micro.service import Service, ServiceError

import labkit
from labkit.course import notebooks
from labkit.servers import background
from labkit.servers.errors import NotInTimeError
from labkit.servers.wait import wait_until
from labkit.views.second_connection import ViewError

FAVOURITES = notebooks.find("21").with_name("favourites.py")


@pytest.fixture
def lab() -> Iterator[labkit.Lab]:
    with labkit.start("single") as lab:
        yield lab


@pytest.fixture
async def nc(lab: labkit.Lab) -> AsyncIterator[Client]:
    client = await lab.connect(name="ada")
    yield client
    await client.close()  # and so the views of it end


async def serve(nc: Client, name: str, version: str = "1.0.0", owner: str = "") -> Service:
    """A service with an endpoint on its own name, which refuses what is "bad"."""

    async def answer(request):
        if request.data == b"bad":
            raise ServiceError("400", "bad")
        await request.respond(b"good")

    metadata = {"owner": owner} if owner else {}
    service = await nats.micro.add_service(nc, name=name, version=version, metadata=metadata)
    await service.add_endpoint(name="ask", subject=name, handler=answer)
    await nc.flush()
    return service


def moving(view) -> str:
    """The table that moves, as text."""
    return background.ask(view._moving_table).text()


async def test_without_a_service_it_says_so(nc):
    view = labkit.watch_services(nc)
    assert repr(view).splitlines() == [
        "no services",
        "No service answers on $SRV.STATS. A program becomes one with `nats.micro.add_service(…)`.",
    ]
    assert "No service answers" in view.stop()._lasting_table().html()


async def test_the_table_is_the_same_in_every_run_and_the_frame_has_the_instances(nc, lab):
    view = labkit.watch_services(nc)
    old, tea = await serve(nc, "cafe", owner="ada"), await serve(nc, "tea", "0.1.0")
    new = await serve(await lab.connect(name="bob"), "cafe", "1.1.0", "bob")
    for number in range(40):
        await nc.request("cafe", b"bad" if number % 4 == 0 else b"")
    await nc.request("tea")
    await view.heard(41)
    frame = view.frame()
    assert list(frame.index) == [old.id, new.id, tea.id]
    assert list(frame["service"]) == ["cafe", "cafe", "tea"]
    assert list(frame["owner"]) == ["ada", "bob", ""]
    assert list(frame["state"]) == ["", "", ""]
    for service in (old, new, tea):
        (said,) = service.stats().endpoints
        row = frame.loc[service.id]
        assert (row["version"], row["requests"]) == (service.info().version, said.num_requests)
        assert row["errors"] == said.num_errors
        assert row["mean_ms"] == pytest.approx(said.average_processing_time / 1e6, abs=1e-5)
    assert frame["requests"].sum() == 41
    assert frame["errors"].sum() == 10
    text = repr(view)
    assert text.splitlines()[0] == "2 services, 3 instances"
    assert text.splitlines()[1].split() == [
        *("service", "version", "instances", "owner", "requests", "errors")
    ]
    assert not any(service.id in text for service in (old, new, tea))
    assert all(service.id in moving(view) for service in (old, new, tea))
    assert "2 instances" in moving(view)


async def test_a_killed_instance_is_gone_and_a_paused_one_is_silent(nc, lab):
    view = labkit.watch_services(nc)
    ada = await lab.run.aio(FAVOURITES, "--owner", "ada", name="ada")
    bob = await lab.run.aio(FAVOURITES, "--owner", "bob", name="bob")
    cy = await lab.run.aio(FAVOURITES, "--owner", "cy", name="cy")
    await view.found(3)
    await ada.kill.aio()
    await bob.pause.aio()
    await view.found(1, timeout=15)
    states = view.frame().set_index("owner")["state"]
    assert dict(states) == {"ada": "gone", "bob": "silent", "cy": ""}
    assert "favourites  1.0.0    2          1     bob, cy  0         0" in repr(view)
    assert f"{_id(ada)} (gone)" in moving(view)
    assert f"{_id(bob)} (silent)" in moving(view)
    assert "line-through" in background.ask(view._moving_table).html()
    await bob.resume.aio()
    await view.found(2)
    assert dict(view.frame().set_index("owner")["state"]) == {"ada": "gone", "bob": "", "cy": ""}
    await cy.stop.aio()
    states = view.stop().frame().set_index("owner")["state"]
    assert dict(states) == {"ada": "gone", "bob": "", "cy": "gone"}


def _id(program) -> str:
    return str(program.said).rpartition(": ")[2].split()[0]


async def test_it_moves_while_requests_come(nc):
    view = labkit.watch_services(nc)
    await serve(nc, "cafe")
    await view.found(1)
    before = background.ask(view._moving_table).html()
    for _ in range(100):
        await nc.request("cafe")
    await view.heard(100)
    assert view.frame()["rate"].iloc[0] > 0
    after = background.ask(view._moving_table).html()
    assert "requests/s" in after
    assert after != before


async def test_it_lives_through_the_death_of_its_server_and_goes_on(nc, lab):
    view = labkit.watch_services(nc)
    await lab.run.aio(FAVOURITES)
    await view.found(1)
    await lab["n1"].kill.aio()
    told = "not connected now"
    await asyncio.to_thread(wait_until, lambda: told in repr(view), 5, "the view to say so")
    assert len(view.frame()) == 1
    await lab["n1"].start.aio()
    await lab.run.aio(FAVOURITES, "--owner", "bob", name="bob")
    await view.heard(0)
    await view.found(2, timeout=15)
    assert told not in repr(view)
    began = time.monotonic()
    view.stop()
    assert time.monotonic() - began < 2


async def test_stop_with_a_dead_server_returns_and_keeps_the_table(lab):
    view = labkit.watch_services(lab)
    await lab.run.aio(FAVOURITES)
    await view.found(1)
    await lab["n1"].kill.aio()
    assert repr(view.stop()).startswith("1 service, 1 instance, stopped")
    assert view.stop() is view


async def test_it_ends_with_its_client_and_leaves_nothing_on_the_server(nc, lab):
    view = labkit.watch_services(nc)
    other = labkit.watch_services(lab)
    names = lambda: [c["name"] for c in lab["n1"].monitor("connz")["connections"] if c.get("name")]  # noqa: E731
    assert names().count("labkit services") == 2
    other.stop()
    await nc.close()
    await asyncio.to_thread(wait_until, lambda: view.stopped, 5, "the view to end")
    await asyncio.to_thread(wait_until, lambda: not names(), 5, "its connection to go")


async def test_a_service_does_not_count_the_views_questions_as_requests(nc):
    service = await serve(nc, "cafe")
    heard = []

    async def note(message):
        heard.append(message)

    await nc.subscribe(">", cb=note)  # a learner who listens to everything they may hear
    view = labkit.watch_services(nc)
    await view.found(1)
    view.stop()
    assert service.stats().endpoints[0].num_requests == 0
    await nc.request("cafe")
    assert "cafe" in {message.subject for message in heard}


async def test_answers_that_are_broken_or_come_twice_count_once_or_not(nc):
    me = b'{"name": "cafe", "id": "hand", "version": "1", "endpoints": [{"num_requests": %d}, 7]}'

    async def tell(message):
        for answer in (b"", b"[]", b'{"name": "cafe"}', me % 3, me % 4):
            await message.respond(answer)

    await nc.subscribe("$SRV.STATS", cb=tell)
    view = await labkit.watch_services(nc).found(1)
    assert view.frame()["requests"].to_dict() == {"hand": 3}


async def test_html_shows_markup_in_a_name_as_text(nc):
    me = b'{"name": "<b>", "id": "<i>.x", "version": "<u>", "metadata": {"owner": "<s>"}}'

    async def tell(message):
        await message.respond(me)

    await nc.subscribe("$SRV.STATS", cb=tell)
    view = await labkit.watch_services(nc).found(1)
    page = background.ask(view._moving_table).html() + background.ask(view.table).html()
    for markup in ("<i>", "<u>", "<s>", "<b>&lt;b&gt;</b>"):
        assert (markup in page) == (markup == "<b>&lt;b&gt;</b>")


async def test_who_waits_in_vain_is_told_for_what(nc):
    view = labkit.watch_services(nc)
    with pytest.raises(NotInTimeError, match="3 instances to answer"):
        await view.found(3, timeout=0.1)
    with pytest.raises(NotInTimeError, match="1 request to be counted"):
        await view.heard(1, timeout=0.1)


async def test_a_login_that_may_not_ask_is_told_so(tmp_path: Path):
    (tmp_path / "n1.conf").write_text(
        'listen: "127.0.0.1:4222"\nhttp: "127.0.0.1:8222"\n'
        "authorization { users: [ { user: a, password: b, permissions: "
        '{ publish: { deny: "$SRV.>" } } } ] }\n'
    )
    with labkit.start(tmp_path) as lab:
        nc = await lab.connect(user="a", password="b")
        with pytest.raises(ViewError, match=r"the server refuses it.*srv\.stats"):
            labkit.watch_services(nc)
        await nc.close()


async def test_more_instances_than_the_table_shows_are_counted_and_in_the_frame(nc):
    view = labkit.watch_services(nc)
    for number in range(30):
        await serve(nc, f"s{number % 3}")
    await view.found(30)
    text = moving(view)
    assert text.splitlines()[0] == "3 services, 30 instances"
    assert "not shown: 10 instances; `frame()` has them" in text
    assert len(text.splitlines()) == 2 + 3 + 20 + 1
    assert len(view.frame()) == 30
