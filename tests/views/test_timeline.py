"""Records, and the pictures made of them: each position and figure is the record's own."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

import labkit
from labkit.servers.events import Event
from labkit.servers.topology import RunningTopology
from labkit.servers.wait import wait_until
from labkit.views import record as records
from labkit.views import timeline as pictures
from labkit.views.record import Record, RecordError

START = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def lab() -> Iterator[RunningTopology]:
    with labkit.start("jetstream") as lab:
        yield lab


def after(milliseconds: float) -> datetime:
    return START + timedelta(milliseconds=milliseconds)


def by_hand() -> Record:
    """Ada sends three messages; Bob gets the first two, 2 ms and 4 ms later; Eve hears a stranger."""
    record = Record()
    for number, at in enumerate([0, 10, 20]):
        record.sent("ada", "orders", b"%d" % number, after(at))
    record.received("bob", "orders", b"0", after(2))
    record.received("bob", "orders", b"1", after(14))
    record.received("eve", "elsewhere", b"?", after(15))
    return record


def drawn(figure, gid: str) -> list[tuple[float, float]]:
    """Where the points of a kind are in the picture."""
    return sorted(
        (float(x), float(y))
        for points in figure.axes[0].collections
        if points.get_gid() == gid
        for x, y in points.get_offsets()
    )


# --- recording real clients


async def test_a_record_holds_what_the_servers_counted(lab):
    ada, bob = await lab.connect(name="ada"), await lab.connect(name="bob")
    called: list[bytes] = []

    async def callback(message) -> None:
        called.append(message.data)

    await bob.subscribe("by.callback", cb=callback)
    pulled = await bob.subscribe("by.next")
    await bob.flush()
    with labkit.record(ada, bob) as record:
        for number in range(10):
            await ada.publish("by.callback", str(number).encode())
            await ada.publish("by.next", payload=str(number).encode(), headers={"A": "1"})
        await ada.publish("to.nobody", b"x" * 100)
        await ada.flush()
        await bob.flush()
    connections = {c.get("name"): c for c in lab["n1"].monitor("connz")["connections"]}
    await ada.publish("by.next", b"after the record")
    frame = record.frame()
    assert (frame["what"] == "sent").sum() == 21
    assert (frame["what"] == "received").sum() == connections["bob"]["out_msgs"] == 20
    assert connections["ada"]["in_msgs"] >= 21
    assert set(frame[frame.what == "received"].who) == {"bob"}
    assert frame[frame.subject == "to.nobody"]["size"].tolist() == [100]
    assert frame["time"].is_monotonic_increasing
    assert str(frame["time"].dt.tz) == "UTC"
    assert len(record.pairs()) == 20
    assert all(a.payload == b.payload and a.time <= b.time for a, b in record.pairs())
    assert (await pulled.next_msg()).data == b"0", "the clients work as before"
    await asyncio.to_thread(wait_until, lambda: len(called) == 10, 5, "all calls of the callback")
    assert repr(record) == "record: 21 sent and 20 received by ada, bob"


async def test_requests_and_their_answers_are_in_the_record(lab):
    ada, bob = await lab.connect(name="ada"), await lab.connect(name="bob")

    async def answer(message) -> None:
        await message.respond(b"yes")

    await bob.subscribe("question", cb=answer)
    await bob.flush()
    with labkit.record(ada, bob) as record:
        for _ in range(5):
            await ada.request("question", b"same each time")
    ways = [(sent.who, got.who) for sent, got in record.pairs()]
    assert ways == [("ada", "bob"), ("bob", "ada")] * 5


async def test_a_stream_and_its_consumer_are_in_the_record(lab):
    ada, bob = await lab.connect(name="ada"), await lab.connect(name="bob")
    await ada.jetstream().add_stream(name="orders", subjects=["orders.*"])
    worker = await bob.jetstream().pull_subscribe("orders.*", durable="worker")
    with labkit.record(ada, bob) as record:
        await ada.jetstream().publish("orders.new", b"1")
        (message,) = await worker.fetch(1)
        await message.ack_sync()
    assert ("ada", "bob", "orders.new") in [(s.who, g.who, g.subject) for s, g in record.pairs()]


async def test_a_client_with_two_subscriptions_gets_two_arrows(lab):
    ada, bob = await lab.connect(name="ada"), await lab.connect(name="bob")
    await bob.subscribe("a.*")
    await bob.subscribe("a.>")
    await bob.flush()
    with labkit.record(ada, bob) as record:
        for _ in range(3):
            await ada.publish("a.b", b"alike")
        await ada.flush()
        await bob.flush()
    assert len(record.pairs()) == 6


async def test_an_interrupted_block_leaves_the_clients_as_they_were(lab):
    ada = await lab.connect(name="ada")
    with pytest.raises(ZeroDivisionError), labkit.record(ada) as record:
        await ada.publish("a", b"1")
        1 / 0  # noqa: B018
    await ada.publish("a", b"2")
    assert len(record.entries) == 1
    assert "publish" not in vars(ada)
    record.stop()
    with labkit.record(ada):
        pass


async def test_a_payload_that_can_change_is_recorded_as_it_was(lab):
    nc = await lab.connect(name="ada")
    payload = bytearray(b"before")
    with labkit.record(nc) as record:
        await nc.publish("orders", payload)
        payload[:] = b"after!"
    assert [entry.payload for entry in record.entries] == [b"before"]
    await nc.close()


async def test_a_publish_that_fails_was_not_sent(lab):
    ada = await lab.connect(name="ada")
    with (
        labkit.record(ada) as record,
        pytest.raises(Exception, match="maximum payload exceeded"),
    ):
        await ada.publish("a", bytes(2_000_000))
    assert record.entries == []


async def test_what_cannot_be_recorded_gets_a_sentence(lab):
    ada, twin = await lab.connect(name="ada"), await lab.connect(name="ada")
    with pytest.raises(RecordError, match="no client to record; write labkit.record"):
        labkit.record()
    with pytest.raises(RecordError, match="is no nats-py client; give what lab.connect"):
        labkit.record(lab)
    with labkit.record(ada, twin) as record:
        with pytest.raises(RecordError, match="'ada' is in a record already; stop that one"):
            labkit.record(ada)
        await twin.publish("a", b"")
    assert record.who() == ["ada'"]
    await ada.close()
    with pytest.raises(RecordError, match="'ada' is closed; connect it again"):
        labkit.record(ada)
    with pytest.raises(RecordError, match=r"has no time zone; write datetime.now\(UTC\)"):
        record.sent("ada", "a", at=datetime(2026, 1, 31))


def test_an_empty_record_cannot_be_drawn_and_says_why():
    for draw in (labkit.timeline, labkit.gaps):
        with pytest.raises(RecordError, match="the record is empty: nothing was sent or received"):
            draw(Record())
    sent = Record()
    sent.sent("ada", "a")
    with pytest.raises(RecordError, match="nobody received anything"):
        labkit.gaps(sent)
    with pytest.raises(RecordError, match="seen both sent and received"):
        labkit.latency(sent)


def test_a_record_is_bounded_and_says_what_it_left_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(records, "MOST", 5)
    record = Record()
    for _ in range(8):
        record.sent("ada", "a")
    assert (len(record.entries), record.left_out) == (5, 3)
    assert repr(record).endswith("by ada, 3 left out")


# --- which sending belongs to which reception


def test_messages_alike_are_paired_in_order_only_where_none_is_missing():
    record = Record()
    for at in (0, 10):
        record.sent("ada", "tick", b"", after(at))
    record.received("bob", "tick", b"", after(1))
    record.received("bob", "tick", b"", after(11))
    record.received("eve", "tick", b"", after(11))  # one is missing: which one, nobody knows
    assert [(s.time, g.time) for s, g in record.pairs()] == [
        (after(0), after(1)),
        (after(10), after(11)),
    ]


def test_a_message_delivered_again_counts_from_its_first_delivery():
    record = Record()
    record.sent("ada", "job", b"1", after(0))
    record.received("bob", "job", b"1", after(1))
    record.received("bob", "job", b"1", after(30))
    assert [g.time for _, g in record.pairs()] == [after(1)]


# --- timeline


def test_the_timeline_draws_each_message_where_the_record_has_it():
    record = by_hand()
    record.mark("half time", after(10))
    timeline = labkit.timeline(record)
    lanes = [label.get_text() for label in timeline.figure.axes[0].get_yticklabels()]
    assert lanes == ["ada", "bob", "eve"]
    assert timeline.unit == "ms"
    assert drawn(timeline.figure, "sent") == [(0, 0), (10, 0)]
    assert drawn(timeline.figure, "received") == [(2, 1), (14, 1)]
    assert drawn(timeline.figure, "sent, not seen to arrive") == [(20, 0)]
    assert drawn(timeline.figure, "received, sender not recorded") == [(15, 2)]
    (arrows,) = [c for c in timeline.figure.axes[0].collections if c.get_gid() == "arrows"]
    assert [s.tolist() for s in arrows.get_segments()] == [[[0, 0], [2, 1]], [[10, 0], [14, 1]]]
    (mark,) = [line for line in timeline.figure.axes[0].lines if line.get_gid() == "half time"]
    assert list(mark.get_xdata()) == [10, 10]
    assert repr(timeline) == (
        "timeline: ada, bob, eve; 2 arrows, 1 sent and not seen to arrive, 1 mark"
    )


def test_arrow_heads_point_the_way_and_colours_are_not_alone():
    record = by_hand()
    record.sent("bob", "answer", b"", after(16))
    record.received("ada", "answer", b"", after(18))
    shapes = {}
    for points in labkit.timeline(record).figure.axes[0].collections:
        if points.get_gid() not in (None, "arrows"):
            shape = points.get_paths()[0].vertices.round(2).tobytes()
            hollow = len(points.get_facecolors()) == 0
            shapes.setdefault(points.get_gid(), set()).add((shape, hollow))
    assert len(shapes["received"]) == 2, "up and down"
    kinds = [kind for kinds in shapes.values() for kind in kinds]
    assert len(kinds) == len(set(kinds)), "each kind has a shape of its own"
    lines = [(s["sign"], str(s["linestyle"])) for s in pictures.MARKS.values()]
    assert len(set(lines)) == 3


def test_events_of_the_lab_are_marked_when_they_fall_into_the_record():
    events = [
        Event(after(-60_000), "start", ("n1",)),
        Event(after(5), "kill", ("n1",)),
        Event(after(12), "start", ("n1",)),
    ]
    timeline = labkit.timeline(by_hand(), events)
    assert [(m.text, m.kind) for m in timeline.marks] == [
        ("kill n1", "breaks"),
        ("start n1", "mends"),
    ]
    texts = [text.get_text() for text in timeline.figure.axes[0].texts]
    assert texts == ["✖ kill n1", "▲ start n1"]


@pytest.mark.filterwarnings("error:Glyph")
def test_names_and_marks_are_drawn_as_they_are_written(tmp_path):
    record = by_hand()
    record.sent(
        "$\\frob{SYS}$", "x", b"", after(1)
    )  # mathematics to matplotlib, with an error in it
    record.sent("世界 🤖", "x", b"", after(2))  # in no font that comes with matplotlib
    record.mark("$KV.\\frob{a}$", after(3))
    picture = labkit.timeline(record)
    assert picture._repr_png_().startswith(b"\x89PNG")
    picture.save(tmp_path / "timeline.svg")
    (axes,) = picture.figure.axes
    assert "$\\frob{SYS}$" in [label.get_text() for label in axes.get_yticklabels()]
    assert "$KV.\\frob{a}$" in [text.get_text() for text in axes.texts]


def test_words_of_marks_do_not_cover_each_other_however_many_lanes_there_are():
    record = Record()
    for number in range(60):
        record.sent(f"seat-{number:02d}", "x", b"%d" % number, after(10 * number))
    for number in range(12):
        record.mark(f"cut seat-{number:02d}–hub", after(300 + number))
    picture = labkit.timeline(record)
    picture._repr_png_()
    boxes = [text.get_window_extent() for text in picture.figure.axes[0].texts]
    assert len(boxes) == 12
    assert not any(a.overlaps(b) for n, a in enumerate(boxes) for b in boxes[n + 1 :])
    top = picture.figure.axes[0].get_window_extent().y1
    assert all(top <= box.y0 < top + 200 for box in boxes), "just above the lanes, in pixels"


def test_ten_thousand_messages_are_drawn_thinned_out_and_told():
    record = Record()
    for number in range(10_000):
        record.sent("ada", "a", b"%d" % number, after(number))
        record.received("bob", "a", b"%d" % number, after(number + 1))
    figure = labkit.timeline(record).figure
    (arrows,) = [c for c in figure.axes[0].collections if c.get_gid() == "arrows"]
    assert len(arrows.get_segments()) == 2500
    assert figure.axes[0].get_title(loc="right") == "one arrow of 4 is drawn"
    assert len(drawn(figure, "received")) == 10_000


def test_the_record_of_a_watch_can_be_drawn(lab):
    async def use() -> Record:
        nc = await lab.connect()
        view = labkit.watch(nc, "a")
        for number in range(5):
            await nc.publish("a", str(number).encode())
        return (await view.heard(5)).record

    timeline = labkit.timeline(asyncio.run(use()))
    assert timeline.who == ["watch"]
    assert len(drawn(timeline.figure, "received, sender not recorded")) == 5


# --- gaps


def test_gaps_are_the_pauses_longer_than_expected():
    record = Record()
    times = [0, 10, 20, 30, 330, 340, 350, 950, 960]
    for at in times:
        record.received("bob", "a", b"%d" % at, after(at))
    found = labkit.gaps(record, [Event(after(40), "kill", ("n1",))])
    frame = found.frame()
    pauses = np.diff(times)
    expected = max(5 * np.median(pauses), 50) / 1000
    assert frame["seconds"].tolist() == pytest.approx((pauses[pauses > 50] / 1000).tolist())
    assert frame["expected"].tolist() == [expected, expected]
    assert frame["began"].tolist() == [after(30), after(350)]
    assert frame["ended"].tolist() == [after(330), after(950)]
    assert frame["marks"].tolist() == ["kill n1", ""]
    bars = [(bar.get_x(), bar.get_width()) for bar in found.figure.axes[0].patches]
    assert bars == [(30, 300), (350, 600)]
    assert all(bar.get_hatch() for bar in found.figure.axes[0].patches)
    assert len(labkit.gaps(record, longer_than=0.5).frame()) == 1
    assert len(labkit.gaps(record, longer_than=1).frame()) == 0


def test_a_client_that_hears_no_more_has_a_gap_as_long_as_others_send():
    record = Record()
    for number in range(20):
        record.sent("ada", "a", b"%d" % number, after(100 * number))
        if number < 5:
            record.received("bob", "a", b"%d" % number, after(100 * number))
    frame = labkit.gaps(record, longer_than=0.2).frame()
    assert frame["seconds"].tolist() == [1.5]


def test_a_pause_of_the_sender_is_no_gap_and_one_in_which_it_sent_is():
    record = Record()
    for number, at in enumerate([0, 10, 20, 30, 530, 540, 550, 560]):
        record.sent("ada", "a", b"%d" % number, after(at))
        record.received("bob", "a", b"%d" % number, after(at + 1))
    assert labkit.gaps(record).frame().empty
    for at in range(100, 500, 10):
        record.sent("ada", "a", b"lost at %d" % at, after(at))
    assert labkit.gaps(record).frame()["seconds"].tolist() == [0.5]


async def test_a_killed_server_makes_a_gap_that_the_picture_marks(lab):
    ada, bob = await lab.connect(name="ada"), await lab.connect(name="bob")
    await bob.subscribe("ticks")
    await bob.flush()
    with labkit.record(ada, bob) as record:

        async def tick_until(heard: int) -> None:
            for number in range(2000):
                await ada.publish("ticks", str(number).encode())
                await asyncio.sleep(0.005)
                if sum(e.what == "received" for e in record.entries) >= heard:
                    return
            raise AssertionError("bob hears nothing more")

        await tick_until(30)
        lab["n1"].kill()
        await asyncio.to_thread(wait_until, lambda: not bob.is_connected, 5, "bob to notice")
        lab["n1"].start()
        await tick_until(60)
    found = labkit.gaps(record, lab.events)
    kill, start = list(lab.events)[-2:]
    frame = found.frame()
    (gap,) = frame[frame.marks.str.contains("kill n1")].itertuples()
    assert "start n1" in gap.marks
    on_its_way = timedelta(seconds=gap.expected)  # may be read after the kill
    assert gap.began - on_its_way <= kill.time <= start.time <= gap.ended
    times = [e.time_ns for e in record.entries if e.what == "received"]
    assert gap.seconds == pytest.approx(max(b - a for a, b in pairwise(times)) / 1e9)
    texts = [text.get_text() for text in found.figure.axes[0].texts]
    assert "✖ kill n1" in texts
    assert f"{gap.seconds:.2f} s" in texts
    (bar, *_) = [
        bar
        for bar in found.figure.axes[0].patches
        if bar.get_x() <= found.at(records._ns(start.time)) <= bar.get_x() + bar.get_width()
    ]
    assert bar.get_width() == pytest.approx(gap.seconds * (1 if found.unit == "s" else 1000))


# --- latency


def test_latencies_are_numpys_percentiles_of_what_was_recorded():
    taken = np.random.default_rng(7).lognormal(0, 1, 2000).round(3)
    record = Record()
    for number, milliseconds in enumerate(taken):
        payload = b"%d" % number
        record.sent("ada", "a", payload, after(number))
        record.received("bob", "a", payload, after(number + milliseconds))
        record.received("eve", "a", payload, after(number + 2 * milliseconds))
    frame = labkit.latency(record).frame()
    assert frame.index.tolist() == ["bob", "eve", "all"]
    assert frame.columns.tolist() == ["messages", "p50", "p99", "p99.9", "max"]
    for who, values in [("bob", taken), ("eve", 2 * taken), ("all", np.r_[taken, 2 * taken])]:
        wanted = [len(values), *np.percentile(values, [50, 99, 99.9]), values.max()]
        assert frame.loc[who].tolist() == pytest.approx(wanted, abs=2e-3)


def test_the_distribution_holds_every_message_and_marks_the_percentiles():
    record = Record()
    for number in range(100):
        record.sent("ada", "a", b"%d" % number, after(number))
        record.received("bob", "a", b"%d" % number, after(number + 1 + number / 100))
    latency = labkit.latency(record)
    axes = latency.figure.axes[0]
    assert sum(bar.get_height() for bar in axes.patches) == 100
    frame = latency.frame()
    lines = [float(line.get_xdata()[0]) for line in axes.lines]
    assert lines == pytest.approx(frame.loc["bob", ["p50", "p99", "p99.9"]].tolist(), abs=1e-6)
    assert len({str(line.get_linestyle()) for line in axes.lines}) == 3
    assert [text.get_text().split()[0] for text in axes.texts] == ["p50", "p99", "p99.9"]


def test_latencies_of_clocks_that_differ_are_drawn_as_they_are():
    record = Record()
    record.sent("ada", "x", b"1", after(10))
    record.received("bob", "x", b"1", after(7))
    picture = labkit.latency(record)
    assert repr(picture) == "latency: 1 message to bob"
    assert picture.frame().loc["bob", "p50"] == -3.0
    (axes,) = picture.figure.axes
    assert axes.texts[0].get_text() == "p50  -3.00 ms"
    (bar,) = [bar for bar in axes.patches if bar.get_height()]
    assert bar.get_x() <= -3.0 <= bar.get_x() + bar.get_width()


async def test_latencies_of_a_real_run_are_those_of_its_record(lab):
    ada, bob = await lab.connect(name="ada"), await lab.connect(name="bob")
    await bob.subscribe("a")
    await bob.flush()
    with labkit.record(ada, bob) as record:
        for number in range(200):
            await ada.publish("a", str(number).encode())
            await ada.flush()
        await bob.flush()
    frame = record.frame().pivot_table(index="payload", columns="what", values="time")
    taken = (frame["received"] - frame["sent"]).dt.total_seconds() * 1000
    found = labkit.latency(record).frame().loc["bob"]
    assert found["messages"] == 200
    wanted = np.percentile(taken, [50, 99, 99.9]).tolist()
    assert found[["p50", "p99", "p99.9"]].tolist() == pytest.approx(wanted, abs=2e-3)


# --- how pictures look


@pytest.mark.parametrize("draw", [labkit.timeline, labkit.gaps, labkit.latency])
def test_a_picture_has_no_background_and_its_tones_are_legible_on_light_and_dark(draw):
    image = imread(io.BytesIO(draw(by_hand())._repr_png_()))
    assert image[0, 0, 3] == 0, "the corner is transparent"
    assert (image[..., 3] > 0.5).sum() > 500, "something is drawn"
    tones = [pictures.TEXT, *pictures.PALETTE, *(m["color"] for m in pictures.MARKS.values())]
    for tone in tones:
        for page in ("#ffffff", "#111111"):
            assert contrast(tone, page) >= 2.5, f"{tone} on {page}"
    assert contrast(pictures.TEXT, "#ffffff") > 4
    assert contrast(pictures.TEXT, "#111111") > 4


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2: https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio."""

    def light(colour: str) -> float:
        parts = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)
        ]
        return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), parts, strict=True))

    bright, dark = sorted((light(one), light(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def test_a_picture_can_be_saved(tmp_path):
    labkit.timeline(by_hand()).save(tmp_path / "t.svg")
    assert "<svg" in (tmp_path / "t.svg").read_text()


def test_recording_and_watching_import_neither_pandas_nor_matplotlib():
    code = (
        "import sys, labkit\n"
        "with labkit.start('single') as lab:\n"
        "    view = labkit.watch(lab, '>'); labkit.watch_rates(lab); print(view.stop())\n"
        "    labkit.record, labkit.timeline, labkit.gaps, labkit.latency\n"
        "print([m for m in ('pandas', 'matplotlib', 'numpy', 'IPython') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["> · 0 messages, 0 bytes on 0 subjects, stopped", "[]"]
    assert done.stderr == ""
