"""What servers tell of themselves, typed: what a client did stands in what is read."""

from __future__ import annotations

from typing import Any

import pytest

import labkit
from labkit.servers import observe
from labkit.servers.errors import ServerStateError
from labkit.servers.wait import wait_until

pytestmark = pytest.mark.usefixtures("own_temp")


async def ignore(_: Any) -> None:
    """A callback that does nothing with what it gets."""


async def test_a_connection_is_told_with_its_traffic_and_subscriptions():
    with labkit.start("single") as lab:
        server = next(iter(lab.values()))
        ada = await lab.connect(name="ada")
        limited = await ada.subscribe("jobs.*", queue="workers", cb=ignore)
        await limited.unsubscribe(limit=7)
        await ada.subscribe("news", cb=ignore)
        await ada.publish("news", b"12345")
        await ada.flush()
        (said,) = observe.connections(server, name="ada")
        assert (said.kind, said.lang, said.account) == ("Client", "python3", "$G")
        assert (said.in_msgs, said.in_bytes, said.out_msgs, said.out_bytes) == (1, 5, 1, 5)
        assert said.is_open and said.subjects == ("jobs.*", "news")
        jobs, news = sorted(said.subscriptions, key=lambda s: s.subject)
        assert (jobs.queue, jobs.max, jobs.msgs, jobs.cid) == ("workers", 7, 0, said.cid)
        assert (news.queue, news.max, news.msgs, news.account) == (None, None, 1, "$G")


async def test_closed_connections_are_told_with_the_reason():
    with labkit.start("single") as lab:
        server = next(iter(lab.values()))
        await (await lab.connect(name="gone")).close()
        stays = await lab.connect(name="stays")
        wait_until(lambda: observe.connections(server, state="closed", name="gone"), 5, "the end")
        (gone,) = observe.connections(server, state="closed", name="gone")
        assert gone.reason == "Client Closed" and not gone.is_open
        assert [c.name for c in observe.connections(server) if c.name] == ["stays"]
        both = [c.name for c in observe.connections(server, state="all") if c.name]
        assert both == ["gone", "stays"]
        assert stays.is_connected


async def test_the_server_matches_subscriptions_however_many_there_are():
    with labkit.start("single") as lab:
        server = next(iter(lab.values()))
        nc = await lab.connect()
        for number in range(1500):
            await nc.subscribe(f"many.{number}.>", cb=ignore)
        for number in range(1100):
            await nc.subscribe("same.*", queue=f"q{number}", cb=ignore)
        await nc.flush()
        (one,) = observe.subscriptions(server, matching="many.1499.x.y")
        assert one.subject == "many.1499.>"
        assert observe.subscriptions(server, matching="many.1499") == []
        assert len(observe.subscriptions(server, matching="same.one")) == 1100
        subjects = [s.subject for s in observe.subscriptions(server)]
        assert sum(subject.startswith("many.") for subject in subjects) == 1500


async def test_streams_and_consumers_are_told_with_what_is_left_to_do():
    with labkit.start("jetstream") as lab:
        server = next(iter(lab.values()))
        js = (await lab.connect()).jetstream()
        await js.add_stream(name="ORDERS", subjects=["orders.>"])
        for number in range(3):
            await js.publish(f"orders.{number}", b"x")
        worker = await js.pull_subscribe("orders.>", durable="worker")
        first, _ = await worker.fetch(2)
        await first.ack_sync()
        (stream,) = observe.streams(server)
        assert (stream.account, stream.name, stream.subjects) == ("$G", "ORDERS", ("orders.>",))
        assert (stream.messages, stream.first_seq, stream.last_seq) == (3, 1, 3)
        assert (stream.consumer_count, stream.leader, stream.replicas) == (1, server.name, ())
        (consumer,) = observe.consumers(server, "ORDERS")
        assert (consumer.stream, consumer.name) == ("ORDERS", "worker")
        assert (consumer.delivered, consumer.ack_floor) == (2, 1)
        assert (consumer.num_pending, consumer.num_ack_pending) == (1, 1)
        assert observe.consumers(server, "OTHERS") == []


async def test_each_instance_of_a_service_is_told_by_name_and_id():
    import nats.micro

    with labkit.start("single") as lab:
        server = next(iter(lab.values()))
        for _ in range(2):
            nc = await lab.connect()
            await nats.micro.add_service(nc, name="echo", version="1.0.0")
            await nc.flush()
        found = observe.services(server)
        assert [service.name for service in found] == ["echo", "echo"]
        assert len({service.id for service in found}) == 2
        open_ones = {c.cid for c in observe.connections(server)}
        assert {service.cid for service in found} <= open_ones


def test_link_ends_name_the_other_side():
    with labkit.start("leaf-nodes") as lab:
        leaf, hub = lab["leaf"], lab["hub"]
        (out,) = observe.link_ends(leaf, "leaf")
        assert (out.server, out.peer, out.dialed, out.account) == ("leaf", "hub", True, "$G")
        (back,) = observe.link_ends(hub)
        assert (back.kind, back.peer, back.dialed) == ("leaf", "leaf", False)
        assert out.rtt is None or 0 < out.rtt < 5_000_000_000


def test_a_stopped_server_tells_nothing_and_says_so():
    with labkit.start("single") as lab:
        server = next(iter(lab.values()))
        server.stop()
        with pytest.raises(ServerStateError, match="stopped"):
            observe.connections(server)
