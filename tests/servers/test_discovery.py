"""What services say of themselves: all of it, each once, in time, and as the real `nats` says it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nats.micro
import pytest
from nats.aio.client import Client
from nats.micro.service import ServiceError

import labkit
from labkit.course import notebooks
from labkit.servers import discovery, observe
from labkit.servers.discovery import DEADLINE, QUIET, Instance
from tests.rounds import ROUNDS
from tests.servers.serve_many import SERVICES

MANY = Path(__file__).with_name("serve_many.py")
FAVOURITES = notebooks.find("21").with_name("favourites.py")


@pytest.fixture
def lab() -> Iterator[labkit.Lab]:
    with labkit.start("single") as lab:
        yield lab


@pytest.fixture
async def nc(lab: labkit.Lab) -> AsyncIterator[Client]:
    client = await lab.connect(name="asker")
    yield client
    await client.close()


async def test_an_instance_says_what_it_is_and_what_it_did(lab, nc):
    async def answer(request):
        if request.data == b"bad":
            raise ServiceError("400", "not that")
        await request.respond(b"good")

    began = datetime.now(UTC)
    service = await nats.micro.add_service(
        await lab.connect(name="host"),
        name="cafe",
        version="2.0.1",
        description="Makes tea",
        metadata={"owner": "ada", "floor": "2"},
    )
    await service.add_endpoint(name="order", subject="cafe.order", handler=answer)
    await service.add_endpoint(name="menu", queue_group="menus", handler=answer)
    await service._client.flush()
    for payload in (b"", b"bad", b""):
        await nc.request("cafe.order", payload)
    (found,) = await discovery.instances(nc)
    (order, menu), (said, _) = found.endpoints, service.stats().endpoints
    assert (found.name, found.id, found.version) == ("cafe", service.id, "2.0.1")
    assert found.description == "Makes tea"
    assert (found.owner, found.metadata) == ("ada", {"owner": "ada", "floor": "2"})
    assert found.started
    assert abs(found.started - began) < timedelta(seconds=30)
    assert (order.name, order.subject, order.queue_group) == ("order", "cafe.order", "q")
    assert (order.requests, order.errors) == (3, 1)
    assert "not that" in order.last_error
    assert order.processing_time == said.processing_time > 0
    assert order.average_time == said.average_processing_time
    assert (menu.name, menu.subject, menu.queue_group) == ("menu", "menu", "menus")
    assert (menu.requests, menu.errors, menu.last_error, menu.average_time) == (0, 0, "", None)
    assert (found.requests, found.errors) == (3, 1)
    assert found.processing_time == order.processing_time


async def test_with_no_service_the_answer_comes_at_once(nc):
    began = time.monotonic()
    assert await discovery.instances(nc) == []
    assert await discovery.instances(nc, "cafe") == []
    assert time.monotonic() - began < QUIET


async def test_of_one_name_or_one_id_only_those_answer(lab, nc):
    services = [
        await nats.micro.add_service(nc, name=name, version="1.0.0") for name in ("a", "a", "b")
    ]
    ids = [service.id for service in services]
    assert {i.id for i in await discovery.instances(nc)} == set(ids)
    assert {i.id for i in await discovery.instances(nc, "a")} == set(ids[:2])
    assert [i.id for i in await discovery.instances(nc, "b")] == ids[2:]
    (pings,) = await discovery.gather(nc, ["PING"], "a", ids[0])
    assert [said["id"] for said in pings] == ids[:1]


async def test_broken_answers_are_passed_over_and_a_double_one_counts_once(nc):
    me = {"name": "cafe", "id": "hand", "version": "1"}
    odd = {"endpoints": [7, {"name": 1, "num_requests": "many"}], "metadata": ["me"], "started": 7}
    strange = [b"", b"hello", b"[]", b"{}", b"\xff", b'{"name": "cafe", "id": 1, "version": "1"}']

    async def tell(message):
        for answer in (*strange, json.dumps({**me, **odd}).encode(), json.dumps(me).encode()):
            await message.respond(answer)

    await nc.subscribe("$SRV.*", cb=tell)
    (found,) = await discovery.instances(nc)
    assert (found.name, found.id, found.version) == ("cafe", "hand", "1")
    assert (found.metadata, found.started, found.description) == ({}, None, "")
    assert found.endpoints == (discovery.Endpoint("", "", "", 0, 0, "", 0),)
    (pings,) = await discovery.gather(nc, ["PING"])
    assert len(pings) == 2


async def test_who_never_ends_to_answer_does_not_hold_up_the_others(nc):
    me = b'{"name": "cafe", "id": "%d", "version": "1"}'
    talking = set()

    async def talk(reply: str) -> None:
        for number in range(10_000):
            await nc.publish(reply, me % number)
            await asyncio.sleep(0.01)

    async def tell(message):
        talking.add(asyncio.create_task(talk(message.reply)))

    await nc.subscribe("$SRV.STATS", cb=tell)
    began = time.monotonic()
    found = await discovery.instances(nc, within=0.5)
    assert 0.5 <= time.monotonic() - began < 1.5
    assert len(found) > 5
    for task in talking:
        task.cancel()


async def test_answers_that_came_while_the_asker_was_busy_are_not_late(lab, nc):
    await lab.run.aio(MANY, "0", "9")
    asking = asyncio.create_task(discovery.instances(nc, quiet=0.05))
    await asyncio.sleep(0)  # it begins
    while not asking.done():
        time.sleep(0.06)  # a cell that holds up the loop again and again
        await asyncio.sleep(0)
    assert len(await asking) == 10


async def test_nothing_is_left_on_the_server(lab, nc):
    await nats.micro.add_service(nc, name="a", version="1.0.0")
    before = observe.subscriptions(lab["n1"])
    await discovery.instances(nc)
    await nc.flush()
    after = observe.subscriptions(lab["n1"])
    assert [s.subject for s in after] == [s.subject for s in before]


@pytest.mark.alone
async def test_two_hundred_instances_of_twenty_services_are_all_found_each_time(lab, nc):
    programs = [
        lab.run.aio(MANY, str(first), str(first + 49), name=f"many-{first}")
        for first in range(0, 200, 50)
    ]
    await asyncio.gather(*programs)
    listening = {service.id for service in observe.services(lab["n1"])}
    assert len(listening) == 200
    took = []
    for _ in range(5 * ROUNDS):
        began = time.monotonic()
        found = await discovery.instances(nc)
        took.append(time.monotonic() - began)
        assert {instance.id for instance in found} == listening
        assert {instance.metadata["number"] for instance in found} == set(map(str, range(200)))
        assert Counter(instance.name for instance in found) == {
            f"s{number}": 10 for number in range(SERVICES)
        }
        assert all(instance.started and instance.endpoints for instance in found)
    of_one = await discovery.instances(nc, "s7")
    assert [i.id for i in of_one] == [i.id for i in found if i.name == "s7"]
    print(f"{len(took)} times, {min(took):.3f} to {max(took):.3f} s")
    assert max(took) < DEADLINE
    view = await labkit.watch_services(lab).found(200)
    assert set(view.stop().frame().index) == listening


# --- the real command line


@dataclass(frozen=True)
class Typed:
    """The real `nats`, at this server, without a context of whoever runs the tests."""

    url: str
    home: Path

    async def micro(self, *words: str) -> str:
        """What `nats micro …` prints."""
        process = await asyncio.create_subprocess_exec(
            *("nats", "--server", self.url, "micro", *words),
            env={**os.environ, "XDG_CONFIG_HOME": str(self.home), "NATS_CONTEXT": ""},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        async with asyncio.timeout(20):
            printed, _ = await process.communicate()
        assert process.returncode == 0, printed.decode()
        return printed.decode()

    async def json(self, *words: str) -> Any:
        """What `nats micro … --json` prints, read."""
        return json.loads(await self.micro(*words, "--json"))


def described(found: Iterable[Instance]) -> list[Any]:
    """Instances as INFO has them."""
    return [
        (i.name, i.id, i.version, i.description, i.metadata)
        + tuple((e.name, e.subject, e.queue_group) for e in i.endpoints)
        for i in found
    ]


def counted(found: Iterable[Instance]) -> list[Any]:
    """Instances as STATS has them."""
    return [(i.name, i.id, i.version, i.metadata, i.started, i.endpoints) for i in found]


def in_order(listed: Iterable[Instance]) -> list[Instance]:
    return sorted(listed, key=lambda i: (i.name, i.version, i.id))


@pytest.mark.skipif(shutil.which("nats") is None, reason="the nats command line is not installed")
async def test_the_real_command_line_says_the_same(lab, nc, tmp_path):
    async def answer(request):
        if request.data == b"bad":
            raise ServiceError("400", "not that")
        await request.respond(b"good")

    for owner, version in (("ada", "1.0.0"), ("bob", "1.0.0"), ("cy", "1.1.0")):
        await lab.run.aio(FAVOURITES, "--owner", owner, "--version", version, name=owner)
    cafe = await nats.micro.add_service(
        await lab.connect(name="cafe"), name="cafe", version="0.1.0", description="Makes tea"
    )
    await cafe.add_endpoint(name="order", subject="cafe.order", queue_group="c", handler=answer)
    view = labkit.watch_services(nc)
    await view.found(4)
    for number in range(60):
        with_error = number % 3 == 0
        await nc.request("favourites.get", b"gravity" if with_error else b"food")
        await nc.request("cafe.order", b"bad" if with_error else b"tea")
    await view.heard(120)
    found, frame, typed = (
        await discovery.instances(nc),
        view.frame(),
        Typed(lab["n1"].url, tmp_path),
    )
    names = [(i.name, i.version) for i in found]
    assert names == [
        ("cafe", "0.1.0"),
        ("favourites", "1.0.0"),
        ("favourites", "1.0.0"),
        ("favourites", "1.1.0"),
    ]
    assert (sum(i.requests for i in found), sum(i.errors for i in found)) == (120, 40)

    listed = in_order(map(discovery.instance, await typed.json("ls")))
    assert described(listed) == described(found)
    for name in ("cafe", "favourites"):
        ours = [i for i in found if i.name == name]
        said = in_order(map(discovery.instance, await typed.json("stats", name)))
        assert counted(said) == counted(ours)
        for one in ours:
            about = await typed.json("info", name, one.id)
            assert described([discovery.instance(about["info"])]) == described([one])
            assert counted([discovery.instance(about["stats"])]) == counted([one])
            row = frame.loc[one.id]
            assert (row["service"], row["version"], row["owner"]) == (name, one.version, one.owner)
            assert (row["requests"], row["errors"]) == (one.requests, one.errors)
            assert row["mean_ms"] == pytest.approx(
                one.processing_time / one.requests / 1e6, abs=1e-6
            )
        assert _rows_of_stats(await typed.micro("stats", name)) == {
            (i.id, e.name): (e.requests, e.queue_group, e.errors) for i in ours for e in i.endpoints
        }
    assert set(frame.index) == {i.id for i in found}
    pinged = re.findall(r"^(\S+) (\S+) +rtt=", await typed.micro("ping", "--timeout", "1s"), re.M)
    assert sorted(pinged) == sorted((i.name, i.id) for i in found)
    table = await typed.micro("ls")  # a name or version like the one above is left out there
    assert sorted(re.findall(r"│ (\w{22}) │", table)) == sorted(i.id for i in found)
    lines = [line.replace(", ", ",").split() for line in repr(view).splitlines()[2:]]
    shown = {line[0]: (line[1], *map(int, (line[2], *line[-2:]))) for line in lines}
    for name, group in frame.groupby("service"):
        versions = ",".join(sorted(set(group["version"])))
        wanted = (versions, len(group), group["requests"].sum(), group["errors"].sum())
        assert shown.pop(name) == wanted
    assert not shown


def _rows_of_stats(table: str) -> dict[tuple[str, str], tuple[int, str, int]]:
    """Of the table of `nats micro stats`: requests, queue group and errors of each endpoint."""
    rows, id = {}, ""
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.strip("│").split("│")]
        if len(cells) == 7 and cells[2].isdigit() and cells[1]:
            id = cells[0] or id
            rows[id, cells[1]] = (int(cells[2]), cells[3], int(cells[4]))
    return rows
