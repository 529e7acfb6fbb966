"""The subject explorer: the server decides what lights up, and nobody else hears it ask."""

from __future__ import annotations

from collections.abc import AsyncIterator

import nats.errors
import pytest
from nats.aio.client import Client

import labkit
from labkit.views.explorer import STORES, explore


@pytest.fixture
async def nc() -> AsyncIterator[Client]:
    with labkit.start("single") as lab:
        client = await lab.connect(name="ada")
        yield client
        await client.close()


@pytest.mark.parametrize(
    ("pattern", "lit"),
    [
        ("store.us.*", {"store.us.seattle", "store.us.austin"}),
        ("*.*.report", {"dept.sales.report", "dept.toys.report"}),
        ("store.eu.*.*", {"store.eu.berlin.1", "store.eu.berlin.2"}),
        (">", set(STORES)),
        ("store.europe.>", set()),
    ],
)
async def test_what_the_server_delivers_lights_up(nc: Client, pattern: str, lit: set[str]):
    assert (await explore(nc, pattern)).lit == lit


async def test_a_subscriber_to_the_same_subjects_hears_nothing(nc: Client):
    bystander = await nc.subscribe("store.>")
    assert (await explore(nc, "store.us.*")).lit
    await nc.publish("store.us.seattle", b"we open")
    assert (await bystander.next_msg(timeout=1)).data == b"we open"
    assert bystander.pending_msgs == 0


@pytest.mark.parametrize("pattern", ["", "store us", "store..us", "store.>.us", "store."])
async def test_an_invalid_pattern_raises_and_leaves_the_client_usable(nc: Client, pattern: str):
    with pytest.raises(nats.errors.Error, match="invalid subject"):
        await explore(nc, pattern)
    assert len((await explore(nc, ">")).lit) == len(STORES)
