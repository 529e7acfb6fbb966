"""What a learner does wrong in notebooks 11, 12 and 14 short of a wrong answer has its sentence too."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator

import pytest

import labkit
from labkit.course import calling
from labkit.course.checks import notebook_14
from labkit.room import simulate
from labkit.servers.clients import ERRORS_KEPT


@pytest.fixture
def lab() -> Iterator[labkit.Lab]:
    with labkit.start("single") as lab:
        yield lab


def opened(lab: labkit.Lab, said: bytes) -> socket.socket:
    """A plain socket on which this was said, and read by the server."""
    sock = socket.create_connection(lab["n1"].address("client").split(":"), timeout=5)
    sock.sendall(said)
    sock.recv(4096)  # INFO
    return sock


async def workers(lab: labkit.Lab) -> None:
    async def resize(message):
        await message.respond(b"small " + message.data)

    for number in (1, 2, 3):
        worker = await lab.connect(name=f"worker-{number}")
        await worker.subscribe("resize", queue="resizers", cb=resize)


async def said(check: object, outcome: str) -> str:
    result = await check
    assert result.outcome == outcome, repr(result)
    return repr(result)


@pytest.mark.parametrize("id", ["1.5", "1.6"])
async def test_a_function_that_was_called_instead_of_given(id: str, lab: labkit.Lab):
    async def drain_one(): ...

    text = await said(labkit.check(id, drain_one()), "not yet")
    assert "pass the function itself, without parentheses" in text


@pytest.mark.parametrize("id", ["1.5", "1.6"])
async def test_a_function_that_cannot_be_awaited(id: str, lab: labkit.Lab):
    assert "write the function: async def" in await said(labkit.check(id, print), "not yet")


async def test_a_publisher_that_must_not_be_awaited(lab: labkit.Lab):
    async def publish_many(subject, payload, count): ...

    text = await said(labkit.check("1.12", publish_many), "not yet")
    assert "write it with def, not async def" in text


async def test_a_drain_that_does_not_come_back(lab: labkit.Lab, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(calling, "CALL_TIMEOUT", 0.2)
    await workers(lab)

    async def drain_one():
        await asyncio.Event().wait()

    text = await said(labkit.check("1.5", drain_one), "wrong")
    assert "drain_one did not return within 0.2 s" in text


async def test_a_question_that_is_not_asked_in_time(
    lab: labkit.Lab, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(calling, "CALL_TIMEOUT", 0.2)

    async def ask_stores(names, deadline):
        await asyncio.Event().wait()

    text = await said(labkit.check("1.6", ask_stores), "wrong")
    assert "ask_stores did not return within 0.2 s" in text


async def test_a_publisher_that_does_not_come_back(
    lab: labkit.Lab, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(notebook_14, "CALL_TIMEOUT", 0.2)
    began = time.monotonic()

    def publish_many(subject, payload, count):
        with opened(lab, b'CONNECT {"verbose": false}\r\n') as sock:
            sock.recv(4096)  # the server has nothing to say, for two seconds at least

    text = await said(labkit.check("1.12", publish_many), "wrong")
    assert "publish_many did not return within 0.2 s" in text
    assert time.monotonic() - began < 5


async def test_a_connect_without_its_line_end(lab: labkit.Lab):
    with opened(lab, b'CONNECT {"name": "by-hand"}'):
        text = await said(labkit.check("1.11"), "not yet")
    assert "end its line with \\r\\n" in text


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (
            b'CONNECT {"name": "by-hand"}\r\nSUBSCRIBE ticks.* 1\r\n',
            "by-hand was connected, and the server closed it (Protocol Violation)",
        ),
        (b'CONNECT {"name": "by-hand",}\r\n', "your connection is gone; the server closed it"),
    ],
)
async def test_a_connection_that_the_server_has_closed(
    lab: labkit.Lab, lines: bytes, sentence: str
):
    with opened(lab, lines) as sock:
        while sock.recv(4096):
            pass
        text = await said(labkit.check("1.11"), "not yet")
    assert sentence in text


async def test_a_socket_that_is_closed_again(lab: labkit.Lab):
    with opened(lab, b'CONNECT {"name": "by-hand"}\r\nSUB ticks.* 1\r\nUNSUB 1 3\r\n'):
        pass
    text = await said(labkit.check("1.11"), "not yet")
    assert "its socket is closed again: keep it open, in a variable, without `with`" in text


async def test_a_socket_on_which_nothing_was_said(lab: labkit.Lab):
    with opened(lab, b""):
        text = await said(labkit.check("1.11"), "not yet")
    assert "there is a connection that hasn't introduced itself" in text


async def test_a_name_that_is_nearly_the_one_that_was_asked_for(lab: labkit.Lab):
    """Also after an earlier try under the right name, which is closed by now."""
    with opened(lab, b'CONNECT {"name": "by-hand"}\r\n'):
        pass
    with opened(lab, b'CONNECT {"name": "by_hand"}\r\nSUB ticks.* 1\r\nUNSUB 1 3\r\n'):
        text = await said(labkit.check("1.11"), "not yet")
    assert 'a client named "by_hand" is connected; it must be named "by-hand"' in text


async def test_a_stores_subject_on_which_nobody_listens(lab: labkit.Lab):
    """The server answers in the stores' stead, with an empty message."""

    async def ask_stores(names, deadline):
        inbox = nc.new_inbox()
        replies = await nc.subscribe(inbox)
        await nc.publish("stock.counts", reply=inbox)
        return json.loads((await replies.next_msg(timeout=1)).data), set()

    nc = await lab.connect()
    text = await said(labkit.check("1.6", ask_stores), "wrong")
    assert "It read an empty message: that is how the server answers where nobody listens" in text


async def test_a_slow_consumer_after_many_others(lab: labkit.Lab):
    """The list of errors keeps the newest 1,000: a full one must not hide what comes next."""

    async def dawdle(message):
        await asyncio.sleep(0.002)

    publisher, flooded = await lab.connect(), await lab.connect(name="flooded")
    await flooded.subscribe("flood", cb=dawdle, pending_msgs_limit=1)
    await flooded.flush()
    for _ in range(1500):
        await publisher.publish("flood", b"")
    await publisher.flush()
    await flooded.flush()
    assert len(lab.clients.errors) == ERRORS_KEPT
    recorder = await lab.connect(name="recorder")
    await recorder.subscribe("readings", cb=dawdle, pending_msgs_limit=100)
    text = await said(labkit.check("1.3b"), "wrong")
    assert "the recorder reported a slow consumer: its queue was full" in text


async def test_a_total_that_is_no_text(lab: labkit.Lab):
    pricing = await lab.connect(name="pricing")

    async def total(message):
        await message.respond(b"\xff" * 1000)

    await pricing.subscribe("price.total", cb=total)
    text = await said(labkit.check("1.4"), "wrong")
    assert "not the right total" in text
    assert len(text) < 2000, "a long answer is shown by its beginning"


async def test_a_client_that_is_not_named_as_it_should_be(lab: labkit.Lab):
    await lab.connect(name="eu_stores")
    text = await said(labkit.check("1.1"), "not yet")
    assert 'no client is named "eu-stores" yet; connected are: eu_stores' in text


async def test_a_code_that_is_a_number(lab: labkit.Lab):
    pricing = await lab.connect(name="pricing")

    async def total(message):
        await pricing.publish(message.reply, b"", headers={"Nats-Service-Error-Code": 400})

    await pricing.subscribe("price.total", cb=total)
    text = await said(labkit.check("1.4"), "wrong")
    assert "A header's value is a string" in text
    assert "the totals are right" not in text, "nobody knows"


async def test_a_room_lives_on_after_a_bot_that_answered_itself_was_checked():
    async def answer(message):
        if b"newcomer" in message.data:
            await bot.publish("room.chat.newcomer", b"newcomer: yes, inspector?")

    with simulate() as room:
        nc, bot = await room.connect(), await room.connect(name="bot")
        await bot.subscribe("room.chat.*", cb=answer)
        text = await said(labkit.check("1.10", "newcomer"), "wrong")
        assert "The check has closed its client" in text
        assert bot.is_closed
        assert (await nc.request("room.guestbook", timeout=5)).data


async def test_a_check_that_is_run_again_after_the_drain(lab: labkit.Lab):
    await workers(lab)
    leaving = [c for c in lab.clients._open if c.options["name"] == "worker-2"]

    async def drain_one():
        await leaving[0].drain()

    assert "2,000 of 2,000" in await said(labkit.check("1.5", drain_one), "right")
    text = await said(labkit.check("1.5", drain_one), "wrong")
    assert "only these do: worker-1, worker-3. Run the exercise's cell once more" in text


async def test_ticks_that_have_come_already(lab: labkit.Lab):
    with opened(lab, b'CONNECT {"name": "by-hand"}\r\nSUB ticks.* 1\r\nUNSUB 1 3\r\n'):
        await said(labkit.check("1.11"), "right")
        text = await said(labkit.check("1.11"), "wrong")
    assert "three messages end it too: run your cell again" in text
