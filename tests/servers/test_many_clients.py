"""Many clients at once: each is accepted or refused for what it said itself."""

from __future__ import annotations

import asyncio
import time

import nats.aio.client
import pytest

import labkit
from labkit.servers import clients

pytestmark = pytest.mark.usefixtures("own_temp")

LOCKED = {"n1": "authorization { user: ada, password: right }"}
PASSWORDS = ("right", "wrong")


async def test_of_80_that_connect_at_once_exactly_those_with_a_wrong_password_are_refused():
    with labkit.start(LOCKED) as lab:
        said = [PASSWORDS[number % 2] for number in range(80)]
        outcomes = await asyncio.gather(
            *(lab.connect(user="ada", password=password) for password in said),
            return_exceptions=True,
        )
        for password, outcome in zip(said, outcomes, strict=True):
            wanted = nats.aio.client.Client if password == "right" else clients.RefusedError
            assert isinstance(outcome, wanted), f"{password}: {outcome!r}"


async def test_a_refusal_comes_at_once_also_when_the_list_of_errors_is_full():
    with labkit.start(LOCKED) as lab:
        earlier = clients.ClientError("earlier", ValueError("long ago"))
        lab.clients.errors.extend([earlier] * clients.ERRORS_KEPT)
        began = time.monotonic()
        with pytest.raises(clients.RefusedError, match="n1 refuses the client"):
            await lab.connect(user="ada", password="wrong", name="eve")
        assert time.monotonic() - began < clients.CONNECT_TIMEOUT / 2
        assert len(lab.clients.errors) == clients.ERRORS_KEPT
        assert lab.clients.errors[-1].client == "eve"
        await lab.connect(user="ada", password="right")
