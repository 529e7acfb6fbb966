"""What a learner does wrong in notebook 21 short of a wrong answer has its sentence too."""

from __future__ import annotations

import json
from collections.abc import Iterator

import nats.micro
import pytest

import labkit
from labkit.course import notebooks

FAVOURITES = notebooks.find("21").with_name("favourites.py")
MINE = {"colour": "blue"}


@pytest.fixture
def lab() -> Iterator[labkit.Lab]:
    with labkit.start("single") as lab:
        yield lab


async def said(check: object, outcome: str) -> str:
    result = await check
    assert result.outcome == outcome, repr(result)
    return repr(result)


async def newer(lab: labkit.Lab, **endpoints: bytes) -> nats.micro.Service:
    """Version 1.1.0, with these endpoints, each of which always gives the same answer."""
    client = await lab.connect(name="newer")
    service = await nats.micro.add_service(client, name="favourites", version="1.1.0")
    for name, answer in endpoints.items():

        async def respond(request, answer=answer):
            await request.respond(answer)

        await service.add_endpoint(name=name, subject=f"favourites.{name}", handler=respond)
    await client.flush()
    return service


@pytest.mark.parametrize(
    ("id", "name", "client"), [("2.1", "mine", "host"), ("2.2", "menu", "cafe")]
)
async def test_a_check_without_its_dictionary(id: str, name: str, client: str, lab: labkit.Lab):
    await (await lab.connect(name=client)).subscribe("anything")
    assert f'check("{id}", {name})' in await said(labkit.check(id), "not yet")


async def test_a_service_by_hand_that_nobody_can_find(lab: labkit.Lab):
    host = await lab.connect(name="host")
    await host.subscribe("mine.list", queue="q")
    text = await said(labkit.check("2.1", MINE), "wrong")
    assert "no service named favourites runs on host; services there: none" in text


async def test_a_service_on_another_client(lab: labkit.Lab):
    other = await lab.connect(name="asker")
    await nats.micro.add_service(other, name="favourites", version="1.0.0")
    await lab.connect(name="host")
    text = await said(labkit.check("2.1", MINE), "not yet")
    assert 'the client named "host" has no subscription yet' in text


async def test_a_description_that_is_no_description_is_passed_over(lab: labkit.Lab):
    host = await lab.connect(name="host")
    answers = iter([b"hello", b"[]", b'{"id": 1, "name": "favourites"}', b"{}", b"{}", b"{}"])

    async def tell(message):
        await message.respond(next(answers))

    await host.subscribe("$SRV.INFO.favourites", cb=tell)
    text = await said(labkit.check("2.1", MINE), "wrong")
    assert "no service named favourites runs on host" in text


async def test_metadata_that_is_no_dictionary(lab: labkit.Lab):
    host = await lab.connect(name="host")
    me = {"id": "x", "name": "favourites", "version": "1.0.0", "metadata": ["me"], "endpoints": [1]}

    async def tell(message):
        await message.respond(json.dumps(me).encode())

    await host.subscribe("$SRV.INFO.favourites", cb=tell)
    text = await said(labkit.check("2.1", MINE), "wrong")
    assert "its metadata has no owner" in text
    assert "its endpoints must be list on mine.list, get on mine.get; they are none" in text


async def test_the_dictionary_is_as_it_was_after_the_check(lab: labkit.Lab):
    host, mine = await lab.connect(name="host"), dict(MINE)
    await nats.micro.add_service(host, name="favourites", version="1.0.0")
    await said(labkit.check("2.1", mine), "wrong")
    assert mine == MINE


async def test_a_second_version_without_the_first(lab: labkit.Lab):
    assert 'check("2.3", old)' in await said(labkit.check("2.3"), "not yet")


async def test_no_second_version_yet(lab: labkit.Lab):
    old = await lab.run.aio(FAVOURITES)
    assert 'no client is named "newer" yet' in await said(labkit.check("2.3", old), "not yet")


async def test_an_old_version_that_was_killed_or_does_not_answer(lab: labkit.Lab):
    old = await lab.run.aio(FAVOURITES)
    await newer(lab, get=b"green", count=b"3")
    await old.pause.aio()
    text = await said(labkit.check("2.3", old), "wrong")
    assert "the old version doesn't answer $SRV.INFO.favourites" in text
    await old.kill.aio()
    assert "the old version has ended" in await said(labkit.check("2.3", old), "wrong")


async def test_a_list_of_the_new_version_that_is_no_list(lab: labkit.Lab):
    old = await lab.run.aio(FAVOURITES)
    await newer(lab, get=b"green", count=b"3", list=b"colour, food")
    text = await said(labkit.check("2.3", old), "wrong")
    assert "the two versions don't answer the same: " in text


async def test_a_version_that_is_not_found_by_its_id(lab: labkit.Lab):
    old, client = await lab.run.aio(FAVOURITES), await lab.connect(name="newer")
    me = {"id": "x", "name": "favourites", "version": "1.1.0", "endpoints": []}

    async def tell(message):
        await message.respond(json.dumps(me).encode())

    await client.subscribe("$SRV.*.favourites", cb=tell)
    text = await said(labkit.check("2.3", old), "wrong")
    assert "$SRV.PING.favourites.<id> must get one answer from each of the two" in text


async def test_a_service_of_exercise_2_1_of_the_same_version_is_no_second_one(lab: labkit.Lab):
    old, host = await lab.run.aio(FAVOURITES), await lab.connect(name="host")
    mine = await nats.micro.add_service(host, name="favourites", version="1.1.0")

    async def respond(request):
        await request.respond()

    await mine.add_endpoint(name="get", subject="mine.get", handler=respond)
    assert 'no client is named "newer" yet' in await said(labkit.check("2.3", old), "not yet")
