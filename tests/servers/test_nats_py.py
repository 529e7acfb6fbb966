"""What labkit/servers/nats_py.py relies on in nats-py: a test for each part, named when it is gone.

To raise the ceiling on nats-py in pyproject.toml, install the newer one and run this file.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import nats.aio.client
import nats.protocol.parser
import pytest

import labkit
from labkit.servers import nats_py
from labkit.servers.topology import RunningTopology
from labkit.views.tap import read

LABKIT = Path(labkit.__file__).parent
VERSION = f"nats-py {importlib.metadata.version('nats-py')}"
NATS_PY_OWN = re.compile(  # what nats-py's client, subscription and parser keep to themselves
    r"\._(ps|process_\w+|transport|io_writer|subs|pending_\w+|user_\w+|nkeys_\w+|conn)\b"
    r"|protocol\.parser|DEFAULT_BUFFER_SIZE"
)


@pytest.fixture
def lab() -> Iterator[RunningTopology]:
    with labkit.start("single") as lab:
        yield lab


def test_no_other_module_uses_private_parts_of_nats_py():
    found = [
        str(path.relative_to(LABKIT))
        for path in LABKIT.rglob("*.py")
        if NATS_PY_OWN.search(path.read_text("utf-8"))
    ]
    assert found == ["servers/nats_py.py"]


@pytest.mark.parametrize("how", ["nkey", "operator"])
async def test_a_client_keeps_its_login_under_the_names_that_login_of_reads(how: str):
    with labkit.start(f"authentication-{how}") as lab:
        name = next(iter(lab.credentials))
        first = await lab.connect(credentials=name)
        login = nats_py.login_of(first)
        assert login, f"{VERSION} keeps an {how} login elsewhere than in _{nats_py.KEY_FILES}"
        second = await nats.connect(lab["n1"].url, **login)
        await second.flush()
        await second.close()
        await first.close()


@pytest.mark.parametrize("key", [*nats_py.KEY_FILES, *nats_py.SIGNERS])
def test_a_client_has_the_attribute_of_each_login(key: str):
    assert hasattr(nats.aio.client.Client(), f"_{key}"), f"{VERSION} has no Client._{key} any more"


async def test_every_message_goes_through_process_msg_however_it_is_handed_over(
    lab: RunningTopology,
):
    nc = await lab.connect()
    heard: list[tuple[str, bytes]] = []
    nats_py.overhear(nc, lambda sid, subject, data: heard.append((subject, data)))
    assert nats_py.is_overheard(nc)

    async def answer(message) -> None:
        await message.respond(b"answer")

    waiting = await nc.subscribe("waited-for")
    await nc.subscribe("called-back", cb=answer)
    await nc.publish("waited-for", b"1", headers={"A": "b"})
    assert (await waiting.next_msg()).data == b"1"
    assert (await nc.request("called-back", b"2")).data == b"answer"
    inbox = "the inbox"
    seen = [(inbox if subject.startswith("_INBOX.") else subject, data) for subject, data in heard]
    wanted = [("waited-for", b"1"), ("called-back", b"2"), (inbox, b"answer")]
    assert seen == wanted, f"{VERSION} hands messages over past Client._process_msg"
    nats_py.overhear_no_more(nc)
    assert not nats_py.is_overheard(nc)
    await nc.publish("waited-for", b"3")
    assert (await waiting.next_msg()).data == b"3"
    assert len(heard) == 3


async def test_what_the_server_sends_is_read_by_the_parser_of_the_client(lab: RunningTopology):
    heard: list[nats_py.Message] = []
    client = nats_py.UnqueuedClient(read, heard.extend)
    await client.connect(lab["n1"].url)
    await client.subscribe("a.*")
    large = bytes(3 * nats.aio.client.DEFAULT_BUFFER_SIZE)
    await client.publish("a.1", b"one")
    await client.publish("a.2", large, reply="back", headers={"A": "b"})
    await client.publish("a.3", large)
    await client.flush()
    says = f"{VERSION} no longer reads through Client._ps and Client._process_msg"
    assert heard == [
        ("a.1", "", b"one", None),
        ("a.2", "back", large, {"A": "b"}),
        ("a.3", "", large, None),
    ], says
    await client.close()


async def test_the_parser_says_whether_it_is_within_a_message_and_how_much_is_missing():
    client = nats_py.UnqueuedClient(lambda data: ([], data), lambda messages: None)
    parser = client._ps
    await nats.protocol.parser.Parser.parse(parser, b"MSG a 1 5\r\nhe")
    says = f"{VERSION}: Parser.state, .needed or .buf mean something else"
    assert parser.state != nats_py.AWAITING_CONTROL_LINE, says
    assert (parser.needed, bytes(parser.buf)) == (5, b"he"), says
    await nats.protocol.parser.Parser.parse(parser, b"llo\r\n")
    assert (parser.state, bytes(parser.buf)) == (nats_py.AWAITING_CONTROL_LINE, b""), says


def test_the_client_reads_as_many_bytes_at_once_as_its_constant_says():
    loop = inspect.getsource(nats.aio.client.Client._read_loop)
    says = f"{VERSION} reads other amounts than DEFAULT_BUFFER_SIZE, or gives them elsewhere"
    assert "read(DEFAULT_BUFFER_SIZE)" in loop, says
    assert "self._ps.parse(" in loop, says


@pytest.mark.parametrize("topology", ["single", "authentication-tls"])
async def test_the_transport_has_a_writer_whose_reading_can_rest(topology: str):
    with labkit.start(topology) as lab:
        login = next(iter(lab.credentials), None)
        nc = await lab.connect(**({"credentials": login} if login else {}))
        client = nats_py.UnqueuedClient(read, lambda messages: None)
        options = {key: nc.options[key] for key in ("tls", "tls_hostname") if nc.options.get(key)}
        await client.connect(nc.connected_url.geturl(), **options)
        writer = getattr(client._transport, "_io_writer", None)
        assert writer is not None, f"{VERSION} has no Client._transport._io_writer any more"
        resting = asyncio.create_task(client.rest())
        await asyncio.sleep(0)
        assert not writer.transport.is_reading()
        await resting
        assert writer.transport.is_reading()
        await client.flush()  # it works on
        await client.close()
        await nc.close()
