"""Views that move: what they show is what was sent, and they harm nothing that they watch."""

from __future__ import annotations

import asyncio
import functools
import gc
import itertools
import json
import random
import re
import statistics
import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

import labkit
from labkit.servers import background
from labkit.servers.errors import NotInTimeError
from labkit.servers.topology import RunningTopology
from labkit.servers.wait import wait_until
from labkit.views import live, traffic
from labkit.views.live import BARRIER_TIMEOUT
from labkit.views.readable import kind_of, readable, short
from labkit.views.second_connection import ViewError
from labkit.views.tap import tap
from tests.servers.kernels import Kernel, kernel

PUBLISHER = Path(__file__).parent / "publish_raw.py"
README = Path(__file__).parent.parent.parent / "README.md"
RATE = 50_000  # messages a second


@pytest.fixture
def lab() -> Iterator[RunningTopology]:
    with labkit.start("jetstream") as lab:
        yield lab


@pytest.fixture
async def nc(lab: RunningTopology) -> AsyncIterator:
    client = await lab.connect(name="ada")
    yield client
    await client.close()  # and so the views of it end


def watchers(lab: RunningTopology) -> list[str]:
    """The connections of views, as the server names them."""
    return [connection["name"] for connection in connections_of_views(lab)]


def connections_of_views(lab: RunningTopology) -> list[dict]:
    connections = lab["n1"].monitor("connz")["connections"]
    return [c for c in connections if c.get("name", "").startswith("labkit ")]


def watchers_are_gone(lab: RunningTopology) -> bool:
    """Whether the server has let go of every view; it sees a closed socket a moment later."""
    wait_until(lambda: not watchers(lab), 5, "the views' connections to go")
    return True


async def publish_raw(lab: RunningTopology, seconds: float, rate: int = RATE) -> int:
    """Publish `rate` messages a second on load.> from another process; how many it were."""
    port = lab["n1"].address("client").rpartition(":")[2]
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(PUBLISHER), port, str(rate), str(seconds), "load",
        stdout=subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    return int(out)


async def test_the_table_shows_what_was_sent(nc):
    sent = [
        ("room.chat.ada", b"hello", "text"),
        ("room.chat.eve", "grüße, 世界".encode(), "text"),
        ("room.order", json.dumps({"sku": "A-7", "quantity": 3}).encode(), "JSON"),
        ("room.image", bytes(range(256)), "hex"),
        ("room.nothing", b"", ""),
        ("room.long", b"x" * 5000, "text"),
    ]
    view = labkit.watch(nc, "room.>")
    for subject, payload, _ in sent:
        await nc.publish(subject, payload)
    await nc.publish("elsewhere", b"not watched")
    frame = (await view.heard(len(sent))).stop().frame()
    assert list(frame["subject"]) == [subject for subject, _, _ in sent]
    assert list(frame["size"]) == [len(payload) for _, payload, _ in sent]
    assert list(frame["kind"]) == [kind for *_, kind in sent]
    assert frame["payload"][1] == "hello"
    assert frame["payload"][2] == "grüße, 世界"
    assert json.loads(frame["payload"][3]) == {"sku": "A-7", "quantity": 3}
    assert frame["payload"][4] == bytes(range(256)).hex(" ")
    assert frame["payload"][6] == "x" * 1024 + "…"
    assert view.count == len(sent)
    assert view.bytes == sum(len(payload) for _, payload, _ in sent)
    text = repr(view)
    assert text.startswith("room.> · 6 messages, 5,305 bytes on 6 subjects, stopped")
    for subject, payload, _ in sent:
        (line,) = [line for line in text.splitlines() if f" {subject} " in line]
        assert f" {len(payload)} " in f"{line} "


async def test_the_sender_is_shown_where_the_message_tells_it(nc):
    by_header = labkit.watch(nc, "room.>")
    by_subject = labkit.watch(nc, "room.>", sender=lambda m: m.subject.split(".")[-1])
    await nc.publish("room.chat.ada", b"1", headers={"From": "Ada L."})
    await nc.publish("room.chat.eve", b"2")
    assert list((await by_header.heard(2)).frame()["sender"]) == ["Ada L.", ""]
    assert list((await by_subject.heard(2)).frame()["sender"]) == ["ada", "eve"]
    assert "sender" in repr(by_header)


async def test_columns_that_nobody_fills_are_left_out_and_inboxes_are_not_spelled_out(nc):
    view = labkit.watch(nc, "room.*")
    await nc.publish("room.chat", b"1")
    assert repr(await view.heard(1)).splitlines()[1].split() == [
        "#",
        "subject",
        "bytes",
        "as",
        "payload",
    ]
    await nc.publish("room.ask", b"2", reply=nc.new_inbox())
    await nc.publish("room.ask", b"3", reply="answers")
    text = repr(await view.heard(3))
    assert "_INBOX.…" in text
    assert "answers" in text


async def test_html_shows_markup_in_a_payload_as_text(nc):
    view = labkit.watch(nc, "room.>")
    await nc.publish("room.chat", b"<script>alert(1)</script>")
    html = (await view.heard(1)).table().html()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


async def test_stored_outputs_of_two_runs_are_equal(nc):
    texts = []
    for _ in range(2):
        view = labkit.watch(nc, "room.>")
        for number in range(30):
            await nc.publish(f"room.{number % 3}", str(number).encode(), reply=nc.new_inbox())
        await nc.flush()
        view.stop()
        texts.append((repr(view), view.table().html()))
    assert texts[0] == texts[1]
    assert "not shown: 18 earlier messages" in texts[0][0]


async def test_stop_takes_what_the_server_has_and_stopping_again_does_no_harm(lab, nc):
    view = labkit.watch(nc, "room.>")
    assert watchers(lab) == ["labkit watch room.>"]
    for number in range(5000):
        await nc.publish("room.n", str(number).encode())
    await nc.flush()
    assert view.stop().stop().count == 5000
    assert watchers_are_gone(lab)
    await nc.publish("room.n", b"late")
    await nc.flush()
    assert view.count == 5000


async def test_a_wait_for_messages_that_do_not_come_says_how_many_came(nc):
    view = labkit.watch(nc, "room.>")
    await nc.publish("room.chat", b"1")
    await view.heard(1)
    with pytest.raises(NotInTimeError, match=r"2 messages on 'room.>', in vain: 1 came"):
        await view.heard(2, timeout=0.1)


async def test_the_view_goes_on_while_a_cell_blocks_the_loop(lab, nc):
    view = labkit.watch(nc, "load.>")
    port = lab["n1"].address("client").rpartition(":")[2]
    command = [sys.executable, str(PUBLISHER), port, "1000", "0.3", "load"]
    subprocess.run(command, check=True, capture_output=True)  # blocks this loop
    wait_until(lambda: view.count == 300, 5, "300 messages while nothing is awaited")


async def test_the_view_ends_when_its_client_is_closed(lab, nc):
    view = labkit.watch(nc, "room.>")
    await nc.close()
    await asyncio.to_thread(wait_until, lambda: view.stopped and not watchers(lab), 5, "the end")


async def test_the_view_of_a_lab_ends_with_the_lab(lab, nc):
    view = labkit.watch(lab, "room.>")
    await nc.publish("room.chat", b"1")
    await view.heard(1)
    lab.stop()
    await asyncio.to_thread(wait_until, lambda: view.stopped, 5, "the view to end")
    assert view.count == 1


async def test_a_restarted_server_is_watched_on_and_the_hole_is_told(lab, nc):
    view = labkit.watch(nc, "room.>")
    await asyncio.to_thread(lab["n1"].restart)
    listens = lambda: any(c["subscriptions"] for c in connections_of_views(lab))  # noqa: E731
    await asyncio.to_thread(wait_until, listens, 5, "the view to have its subscription again")
    await asyncio.to_thread(wait_until, lambda: view.reconnects == 1, 5, "the view to know it")
    other = await lab.connect()
    await other.publish("room.chat", b"again")
    await view.heard(1)
    assert "connected again 1×: what was sent meanwhile is missing" in repr(view)


@pytest.mark.parametrize("subject", ["", "a b", "a..b", ".a", "a.>.b", "a\r\nb", None])
async def test_a_bad_subject_gets_a_sentence_and_leaves_no_connection(lab, nc, subject):
    with pytest.raises(ViewError, match="cannot be watched .* a subject is tokens with dots"):
        labkit.watch(nc, subject)
    wait_until(lambda: not watchers(lab), 5, "the connection to go")


async def test_a_closed_client_and_something_else_get_a_sentence(nc):
    await nc.close()
    for view in (labkit.watch, labkit.watch_rates, labkit.watch_streams):
        with pytest.raises(ViewError, match="client 'ada' is closed; connect again"):
            view(nc)
        with pytest.raises(ViewError, match="'nc' is neither a client nor a lab"):
            view("nc")


async def test_a_stopped_lab_gets_a_sentence():
    with labkit.start("single") as lab:
        pass
    with pytest.raises(ViewError, match="no server of lab 'single' runs; start one"):
        labkit.watch(lab)


async def test_a_client_that_may_not_subscribe_is_told_by_the_servers_words():
    config = """
        listen: 127.0.0.1:4222
        authorization {
          users: [{user: ada, password: s3cret, permissions: {subscribe: ["open.>", "_INBOX.>"]}}]
        }
    """
    with labkit.start({"n1": config}) as lab:
        nc = await lab.connect(user="ada", password="s3cret")
        view = labkit.watch(nc, "open.>")
        await nc.publish("open.door", b"1")
        assert (await view.heard(1)).count == 1, "it logs in as the client did"
        with pytest.raises(ViewError, match=r"refuses .*ermissions .*closed\.>"):
            labkit.watch(nc, "closed.>")


async def test_a_view_whose_login_is_taken_away_says_that_it_sees_nothing():
    config = "listen: 127.0.0.1:4222\nauthorization {{users: [{}]}}"
    users = ["{user: ada, password: s3cret}", "{user: eve, password: s3cret}"]
    with labkit.start({"n1": config.format(", ".join(users))}) as lab:
        nc = await lab.connect(user="ada", password="s3cret", error_cb=nothing)
        view = labkit.watch(nc, ">")
        lab["n1"].reload(config.format(users[1]))
        told = re.compile(r"not connected now|the server has closed the view's connection")
        await asyncio.to_thread(
            wait_until, lambda: told.search(repr(view)), 10, "the view to say so"
        )
        view.stop()


async def test_a_stopped_server_is_told_and_the_view_stops_at_once(lab, nc):
    view = labkit.watch(nc, ">")
    await asyncio.to_thread(lab["n1"].kill)
    told = lambda: "not connected now" in repr(view)  # noqa: E731
    await asyncio.to_thread(wait_until, told, 5, "the view to say so")
    began = time.monotonic()
    view.stop()
    assert time.monotonic() - began < BARRIER_TIMEOUT, "it does not wait for what cannot come"


async def nothing(error) -> None:
    """For clients whose errors are expected."""


@pytest.mark.parametrize("how", ["user", "nkey", "operator", "tls", "mtls"])
async def test_a_view_logs_in_as_its_client_did(how: str):
    with labkit.start(f"authentication-{how}") as lab:
        nc = await lab.connect(credentials=next(iter(lab.credentials)))
        view = labkit.watch(nc, "hello")
        await nc.publish("hello", b"1")
        assert (await view.heard(1)).stop().count == 1


async def test_a_view_of_a_websocket_client_and_of_a_token(lab):
    with labkit.start("authentication-token") as lab:
        token = lab["n1"].planned.file.text.partition("token:")[2].split()[0].strip('"')
        nc = await lab.connect(token=token)
        view = labkit.watch(nc, "hello")
        await nc.publish("hello", b"1")
        assert (await view.heard(1)).stop().count == 1
        with pytest.raises(ViewError, match="could not connect once more as lab .* give a client"):
            labkit.watch(lab, "hello")


async def test_the_watched_client_gets_nothing_more(lab, nc):
    before = nc.stats["in_msgs"]
    view = labkit.watch(nc, "room.>")
    for number in range(100):
        await nc.publish("room.n", str(number).encode())
    await view.heard(100)
    assert nc.stats["in_msgs"] == before
    (mine,) = [c for c in lab["n1"].monitor("connz")["connections"] if c["name"] == "ada"]
    assert (mine["subscriptions"], mine["out_msgs"]) == (0, 0)


# --- load


def delay(message) -> float:
    return time.time() - float(message.data.split()[1])


@pytest.mark.alone
async def test_fifty_thousand_messages_a_second_are_survived(lab, nc):
    """Counts agree with the server's; the application's own subscriber gets all, about as fast.

    What watching takes is told by the processor's time, the best of the rounds. The delay of the
    subscriber is told by the clock, where a busy machine counts too: another round then, in the end
    with fewer messages.
    """
    heard: list[float] = []

    async def application(message) -> None:
        heard.append(delay(message))

    async def round_of(rate: int) -> tuple[float, float]:
        """The median delay, and the seconds of the processor that all the messages took here."""
        before, heard[:], busy = lab["n1"].monitor("varz")["in_msgs"], [], time.process_time()
        sent = await publish_raw(lab, 1.0, rate)
        counted = lab["n1"].monitor("varz")["in_msgs"] - before
        await asyncio.to_thread(wait_until, lambda: len(heard) >= sent, 20, "all messages")
        assert len(heard) == sent == counted
        return statistics.median(heard), time.process_time() - busy

    async def watched_round_of(rate: int) -> tuple[float, float]:
        view = labkit.watch(nc, "load.>")
        taken = await round_of(rate)
        view.stop()
        shown = len(view.table().rows)
        assert f"not shown: {len(heard) - shown:,} earlier messages" in repr(view)
        assert view.count == len(heard)
        assert view.subjects()["messages"].sum() == len(heard)
        assert len(view.messages) == traffic.KEPT
        return taken

    subscription = await nc.subscribe("load.>", cb=application)
    await nc.flush()
    costs: list[float] = []
    for rate in [RATE] * 5 + [25_000] * 3 + [10_000] * 4:
        alone, busy_alone = await round_of(rate)
        watched, busy_watched = await watched_round_of(rate)
        print(f"{rate}: {alone:.3f} {busy_alone:.2f} {watched:.3f} {busy_watched:.2f}")
        if rate == RATE:
            costs.append(busy_watched / busy_alone)
        if watched < alone + 0.05 and min(costs) < 2:
            break
    assert subscription.pending_msgs == 0
    assert min(costs) < 2, "watching takes less than the subscriber itself"
    assert watched < alone + 0.05, f"median delay {alone:.4f} s alone, {watched:.4f} s watched"


async def test_memory_is_bounded_with_large_messages_and_endless_subjects(lab, nc):
    view, rates = labkit.watch(nc, "load.>"), labkit.watch_rates(nc, "load.>")

    async def publish(first: int) -> None:
        for number in range(first, first + 3000):
            await nc.publish(f"load.{number}", bytes(20_000), headers={"Note": "n" * 5000})
            if number % 500 == 0:
                await nc.flush()
        await view.heard(first + 3000, timeout=20)
        await rates.heard(first + 3000, timeout=20)
        gc.collect()

    await publish(0)
    tracemalloc.start()
    await publish(3000)
    before, _ = tracemalloc.get_traced_memory()
    await publish(6000)
    await publish(9000)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 2_000_000, "bytes, after 120 MB of payload more"
    assert len(view.messages) == 1000
    subjects = view.subjects()
    assert len(subjects) == traffic.MOST_SUBJECTS + 1
    assert subjects["messages"][traffic.OTHERS] == 12_000 - traffic.MOST_SUBJECTS
    assert "on 500 subjects or more" in repr(view)


async def test_a_view_that_is_held_up_drops_nothing(lab):
    """The server and the system's buffers wait for it."""
    view = labkit.watch(lab, "load.>")
    busy = asyncio.create_task(asyncio.to_thread(background.ask, lambda: time.sleep(0.7)))
    sent = await publish_raw(lab, 0.5)
    await busy
    assert view.stop().count == sent
    assert view.problems == []


async def test_a_view_that_is_stopped_while_its_server_hangs_ends_and_says_so(monkeypatch):
    monkeypatch.setattr(live, "BARRIER_TIMEOUT", 0.3)
    with labkit.start("single") as lab:
        nc = await lab.connect()
        view = labkit.watch(nc, "hello")
        await nc.publish("hello", b"1")
        await view.heard(1)
        lab["n1"].pause()
        began = time.monotonic()
        assert "the server did not answer within 0.3 s" in repr(view.stop())
        assert time.monotonic() - began < 2
        assert view.count == 1
        lab["n1"].resume()
        wait_until(lambda: names(lab) == [nc.options["name"]], 5, "the view's connection to end")
        await nc.close()


def names(lab) -> list[str]:
    return [c["name"] for c in lab["n1"].monitor("connz")["connections"]]


async def test_a_view_that_the_server_cuts_off_says_what_is_missing():
    limits = "max_payload: 32768\nmax_pending: 65536\n"
    text = f"server_name: n1\nlisten: 127.0.0.1:4222\nhttp: 127.0.0.1:8222\n{limits}"
    with labkit.start({"n1": text}) as lab:
        nc = await lab.connect()
        view = labkit.watch(nc, "load")
        busy = asyncio.create_task(asyncio.to_thread(background.ask, lambda: time.sleep(1.0)))
        for _ in range(1000):
            await nc.publish("load", bytes(32_768))  # more than the system's buffers hold
        await nc.flush()
        await busy
        await asyncio.to_thread(wait_until, lambda: view.reconnects, 10, "the view to be back")
        assert view.count < 1000
        assert "connected again 1×: what was sent meanwhile is missing" in repr(view)
        view.stop()
        await nc.close()


def wire_of(messages: list[tuple[str, str, bytes, dict[str, str] | None]]) -> bytes:
    """The messages as a server writes them, each with a PING or none before it."""
    wire = b""
    for number, (subject, reply, data, headers) in enumerate(messages):
        words = [subject, str(7), *([reply] if reply else [])]
        block = b""
        if headers is not None:
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            block = f"NATS/1.0\r\n{lines}\r\n".encode()
            words = ["HMSG", *words, str(len(block))]
        else:
            words = ["MSG", *words]
        head = " ".join([*words, str(len(block) + len(data))])
        wire += b"PING\r\n" * (number % 5 == 0) + head.encode() + b"\r\n" + block + data + b"\r\n"
    return wire


async def test_messages_are_read_whole_however_the_network_cuts_them():
    chance = random.Random(4)
    for _ in range(300):
        sent = [
            (
                f"a.{'ü' * chance.randrange(3)}b",
                chance.choice(["", "_INBOX.x"]),
                chance.choice([b"MSG a 1 3\r\n", b"\r\n", b"PING\r\n", b""]) * chance.randrange(4),
                chance.choice([None, None, {"From": "ada"}, {"From": "eve", "N": "1"}]),
            )
            for _ in range(chance.randrange(1, 12))
        ]
        heard: list[tuple[str, str, bytes, dict[str, str] | None]] = []
        pings = []
        client = tap(heard.extend)
        client._process_ping = functools.partial(note, pings)
        wire = wire_of(sent)
        while wire:
            cut = chance.choice([1, 2, 5, 30, 1000])
            await client.feed(wire[:cut])
            wire = wire[cut:]
        assert heard == sent
        assert len(pings) == (len(sent) + 4) // 5


async def note(into: list[bool]) -> None:
    into.append(True)


# --- rates and streams


async def test_rates_add_up_to_what_was_sent(lab, nc):
    view = labkit.watch_rates(nc, "load.*")
    sent = await publish_raw(lab, 0.6)
    view.stop()
    frame, samples = view.frame(), list(view._samples)
    assert list(frame.columns) == [f"load.{n}" for n in range(10)]
    seconds = [(b[0] - a[0]) / 1e9 for a, b in itertools.pairwise(samples)]
    assert frame.mul(seconds, axis=0).to_numpy().sum() == pytest.approx(sent)
    assert view.subjects()["messages"].sum() == view.count == sent
    assert "<polyline" in view._moving_table().html()
    assert repr(view).splitlines()[2].split() == [
        "load.0",
        "3000",
        str(view.subjects()["bytes"]["load.0"]),
    ]


async def test_streams_are_shown_as_jetstream_tells_them(lab, nc):
    js = nc.jetstream()
    await js.add_stream(name="orders", subjects=["orders.*"])
    await js.add_stream(name="audit", subjects=["audit"])
    view = labkit.watch_streams(nc)
    assert "audit" in repr(view)
    for number in range(20):
        await js.publish("orders.new", str(number).encode())
    fetcher = await js.pull_subscribe("orders.*", durable="packer")
    for message in await fetcher.fetch(5):
        await message.ack_sync()
    await view.up_to("orders", 20)
    frame = view.stop().frame()
    info = await js.stream_info("orders")
    row = frame.loc["orders"]
    assert list(frame.index) == ["audit", "orders"]
    assert (row.subjects, row.messages, row.bytes) == ("orders.*", 20, info.state.bytes)
    assert (row["first"], row["last"], row.consumers, row.lag) == (1, 20, 1, 15)
    assert frame["lag"].isna()["audit"], "no consumer, no lag"
    assert watchers_are_gone(lab)


async def test_where_no_jetstream_answers_the_sentence_says_so():
    with labkit.start("single") as lab:
        with pytest.raises(ViewError, match="no JetStream answers here .*jetstream: enabled"):
            labkit.watch_streams(await lab.connect())
        assert watchers_are_gone(lab)


async def test_where_jetstream_has_no_majority_the_sentence_says_so():
    def refusal() -> str:
        try:
            labkit.watch_streams(nc).stop()
        except ViewError as error:
            return str(error)
        return ""  # the server has not noticed yet

    with labkit.start("cluster") as lab:
        nc = await lab.connect("n1", error_cb=nothing)
        lab["n2"].kill()
        lab["n3"].kill()
        said = await asyncio.to_thread(wait_until, refusal, 40, "the server to miss the others")
        assert said.startswith("JetStream does not answer: a majority of its servers must run")
        await nc.close()


# --- payloads


@pytest.mark.parametrize(
    ("payload", "size", "kind", "shown"),
    [
        (b"hello\nworld", 11, "text", "hello world"),
        (b'{"a": [1]}', 10, "JSON", '{"a": [1]}'),
        (b"{not json", 9, "text", "{not json"),
        (b"42", 2, "text", "42"),
        (b"", 0, "", ""),
        (b"abc\xff", 4, "hex", "61 62 63 ff"),
        ("é".encode()[:1], 2, "text", "…"),
        (b"\x00\x01", 9, "hex", "00 01…"),
        (b"\x1b[31mred", 8, "hex", "1b 5b 33 31 6d 72 65 64"),
    ],
)
def test_a_payload_is_shown_as_what_it_is(payload: bytes, size: int, kind: str, shown: str):
    assert kind_of(payload, size) == kind
    assert readable(payload, size) == shown


def test_a_long_text_is_cut_and_says_so():
    assert short("x" * 100, 10) == "x" * 9 + "…"
    assert short("x" * 10, 10) == "x" * 10


# --- in a kernel


START = """
import os
os.environ.pop("PYTEST_CURRENT_TEST", None)
import asyncio, nats, labkit
nc = await nats.connect({url!r})
view = labkit.watch(nc, "load.>")
"""


def displays(k: Kernel, code: str) -> list[tuple[float, str, str]]:
    """Run a cell; the displays and updates that came meanwhile, of whichever cell: when, what, HTML."""
    asked, shown = k.client.execute(code), []
    while True:
        message = k.client.get_iopub_msg(timeout=30)
        kind, content = message["msg_type"], message["content"]
        if kind in ("display_data", "update_display_data"):
            sent = message["header"]["date"].timestamp()  # by the kernel, whenever it is read here
            shown.append((sent, kind, content["data"].get("text/html", "")))
        ended = kind == "status" and content["execution_state"] == "idle"
        if ended and message["parent_header"].get("msg_id") == asked:
            assert k.client.get_shell_msg(timeout=30)["content"]["status"] == "ok"
            return shown


def test_in_a_notebook_the_table_moves_at_most_four_times_a_second(lab):
    port = lab["n1"].address("client").rpartition(":")[2]
    command = [sys.executable, str(PUBLISHER), port, str(RATE), "3", "load"]
    with kernel() as k:
        shown = displays(k, START.format(url=lab["n1"].url))
        assert [kind for _, kind, _ in shown] == ["display_data"]
        # Two cells that run meanwhile, the first of which blocks the kernel's loop.
        blocked = f"import subprocess; subprocess.run({command!r}, capture_output=True)"
        shown += displays(k, blocked)
        updates = [at for at, kind, _ in shown if kind == "update_display_data"]
        assert len(updates) >= 5, "it moved while the cell ran"
        for first, fifth in zip(updates, updates[4:], strict=False):
            assert fifth - first > 0.9, "five redraws take a second"
        shown += displays(k, f"assert (await view.heard({3 * RATE})).stop().count == {3 * RATE}")
        shown += displays(k, "view.redraws")
    assert f"load.&gt; · {3 * RATE:,} messages" in shown[-1][2]
    assert ", stopped" in shown[-1][2]


def test_in_a_notebook_the_drawing_of_rates_stays_when_the_view_has_ended(lab):
    with kernel() as k:
        shown = displays(k, START.format(url=lab["n1"].url))
        shown = displays(k, 'rates = labkit.watch_rates(nc, "load.>")')
        k.run("for _ in range(3): await nc.publish('load.new', b'1')\nawait nc.flush()")
        shown += displays(k, "(await rates.heard(3)).stop()")
        *_, (_, moved, in_place), (_, kind, as_last_line) = shown
    assert (moved, kind) == ("update_display_data", "display_data")
    for table in (in_place, as_last_line):
        assert "3 messages, 3 bytes on 1 subject, stopped" in table
        assert "<polyline" in table


def test_run_again_a_cell_replaces_its_view_and_shows_it_once(lab):
    with kernel() as k:
        k.run(START.format(url=lab["n1"].url))
        k.run('view = labkit.watch(nc, "load.>")')
        wait_until(lambda: len(watchers(lab)) == 1, 5, "the first view to go")
        k.run('other = labkit.watch(nc, "room.>")')
        assert sorted(watchers(lab)) == ["labkit watch load.>", "labkit watch room.>"]


def test_where_outputs_are_compared_nothing_is_shown_until_asked_for(lab):
    with kernel() as k:
        k.run("import os; os.environ['LABKIT_STATIC'] = '1'")
        shown: list[dict] = []

        def collect(message: dict) -> None:
            if "data" in message["content"]:
                shown.append(message)

        for code in (START.format(url=lab["n1"].url), "await asyncio.sleep(0.6)"):
            k.client.execute_interactive(code, output_hook=collect, timeout=30)
        assert shown == []
        k.client.execute_interactive("view", output_hook=collect, timeout=30)
        (one,) = shown
        assert one["content"]["data"]["text/plain"] == "load.> · 0 messages, 0 bytes on 0 subjects"


@pytest.mark.parametrize("how", ["kill -9", "restart", "shutdown"])
def test_the_end_of_the_kernel_leaves_no_connection(lab, how: str):
    with kernel() as k:
        k.run(START.format(url=lab["n1"].url))
        assert watchers(lab) == ["labkit watch load.>"]
        if how == "kill -9":
            k.manager.provisioner.process.kill()
        elif how == "restart":
            k.manager.restart_kernel()
        else:
            k.manager.shutdown_kernel()
        wait_until(lambda: not watchers(lab), 10, "the view's connection to go")


def test_the_readme_shows_views_that_work(lab):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    (example,) = [block for block in blocks if "view = labkit.watch(" in block]
    body = textwrap.indent(
        example.replace(
            "...", "await ada.publish('a', b'1'); await ada.flush(); await bob.flush()"
        ),
        "    ",
    )
    script = (
        "import labkit\nasync def main(lab):\n"
        "    nc, ada, bob = [await lab.connect() for _ in range(3)]\n"
        "    await bob.subscribe('a'); await bob.flush()\n" + body
    )
    names: dict = {}
    exec(script, names)
    asyncio.run(names["main"](lab))


def test_all_views_share_one_thread(lab):
    views = [labkit.watch(lab, "a"), labkit.watch_rates(lab, "a"), labkit.watch_streams(lab)]
    assert [t.name for t in threading.enumerate()].count("labkit background") == 1
    for view in views:
        view.stop()
    assert watchers_are_gone(lab)


async def test_a_sender_function_that_fails_costs_no_message_and_is_told(nc):
    view = labkit.watch(nc, "room.>", sender=lambda message: message.headers["From"])
    await nc.publish("room.a", b"1")
    await nc.publish("room.b", b"2", headers={"From": "F" * 3000})
    text = repr((await view.heard(2)).stop())
    assert list(view.frame()["sender"]) == ["", "F" * 1024]
    assert "`sender` failed with TypeError" in text
    assert max(map(len, text.splitlines())) < 300, "a long header makes no wide table"


async def test_what_does_not_print_is_spelled_out(nc):
    view = labkit.watch(nc, "room.>")
    await nc.publish("room.\x1b[31m.\u202eabc", b"")
    table = (await view.heard(1)).stop().table()
    for shown in (table.text(), table.html()):
        assert "room.\\x1b[31m.\\u202eabc" in shown
        assert all(c.isprintable() or c == "\n" for c in shown)


async def test_the_record_of_a_watch_has_whole_sizes(nc):
    view = labkit.watch(nc, "room.>")
    await nc.publish("room.a", b"x" * 5000)
    (entry,) = (await view.heard(1)).stop().record.entries
    assert (entry.size, entry.subject, entry.who) == (5000, "room.a", "watch")


async def test_json_is_known_by_its_beginning(nc):
    view = labkit.watch(nc, "room.>")
    order = json.dumps({"lines": [{"sku": f'A"{n}', "ok": True, "é": 1.5} for n in range(99)]})
    for cut in range(40):  # the 1,024 bytes that are kept end in any place of a token
        await nc.publish("room.json", b" " * cut + order.encode())
    await nc.publish("room.text", b"[see below] " * 200)
    frame = (await view.heard(41)).stop().frame()
    assert list(frame["kind"]) == ["JSON"] * 40 + ["text"]


async def test_more_streams_and_consumers_than_an_answer_of_the_api_holds_are_all_there(lab, nc):
    js = nc.jetstream(timeout=30)
    await asyncio.gather(
        *(
            js.add_stream(name=f"S{n:03d}", subjects=[f"s.{n}"], storage="memory")
            for n in range(300)
        )
    )
    await asyncio.gather(*(js.add_consumer("S000", durable_name=f"c{n}") for n in range(300)))
    view = labkit.watch_streams(nc).stop()
    said = lab["n1"].monitor("jsz")
    assert len(view.frame()) == said["streams"] == 300
    assert view.frame()["consumers"]["S000"] == said["consumers"] == 300
    assert repr(view).startswith("300 streams, stopped")
    assert "not shown: 280 streams" in repr(view)
