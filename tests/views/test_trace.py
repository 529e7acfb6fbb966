"""A traced message: every hop is told, across each kind of link, and only where it went."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pandas as pd
import pytest

import labkit

LEAF = "leafnodes { remotes: [ { url: nats-leaf://127.0.0.1:7422 } ] }"
ACCOUNTS = """listen: 127.0.0.1:4222
leafnodes { listen: 127.0.0.1:7422 }
accounts {
  A {
    users: [ { user: a, password: a } ]
    mappings: { raw.reading: clean.reading }
    exports: [ { stream: "clean.>" }, { service: "price", allow_trace: true } ]
  }
  B {
    users: [ { user: b, password: b } ]
    imports: [
      { stream: { account: A, subject: "clean.>" }, to: "from.a.>", allow_trace: true }
      { service: { account: A, subject: "price" } }
    ]
  }
}
"""


def words(svg: str) -> list[str]:
    """Every text of a picture."""
    return re.findall(r"<text [^>]*>([^<]*)</text>", svg)


def steps(trace: Any) -> list[tuple[str, str, str | None, str | None]]:
    """(server, type, kind, name) of each event."""
    return [(e.server, e.type, e.kind, e.name) for e in trace.events]


async def listen(nc: Any, subject: str, **options: Any) -> list[Any]:
    heard: list[Any] = []

    async def take(message: Any) -> None:
        heard.append(message)

    await nc.subscribe(subject, cb=take, **options)
    await nc.flush()
    return heard


async def followed(nc: Any, subject: str, wanted: int, **options: Any) -> Any:
    """The trace once this many clients get the message: news of a subscription takes a moment."""
    for _ in range(100):
        trace = await labkit.trace(nc, subject, only=True)
        delivered = [e for e in trace.events if (e.type, e.kind) == ("egress", "CLIENT")]
        if trace.complete and len(delivered) == wanted:
            return await labkit.trace(nc, subject, **options)
    raise AssertionError(f"{subject} never reached {wanted} clients")


async def test_a_message_is_followed_through_cluster_and_gateway_into_a_stream():
    with labkit.start("supercluster") as lab:
        ada = await lab.connect("east-1", name="ada")
        dan, bob = await lab.connect("east-2", name="dan"), await lab.connect("west-2", name="bob")
        await ada.jetstream().add_stream(name="ORDERS", subjects=["orders.*"])
        near = await listen(dan, "orders.>", queue="workers")
        far = await listen(bob, "orders.new")
        trace = await followed(ada, "orders.new", 2, payload=b"3 x A-7")
        assert trace.complete
        told = steps(trace)
        assert told[0] == ("east-1", "ingress", "CLIENT", "ada")
        assert [step[1:] for step in told].count(("JetStream", None, "ORDERS")) == 1
        assert ("east-2", "egress", "CLIENT", "dan") in told
        assert ("west-2", "egress", "CLIENT", "bob") in told
        assert any(s[0] == "east-1" and s[1:3] == ("egress", "GATEWAY") for s in told)
        assert ("east-1", "egress", "ROUTER", "east-2") in told
        (queued,) = [e for e in trace.events if e.name == "dan" and e.type == "egress"]
        assert (queued.subject, queued.detail) == ("orders.>", "queue workers")
        await dan.flush()
        await bob.flush()
        assert [m.data for m in near] == [m.data for m in far] == [b"3 x A-7"]
        assert (await ada.jetstream().stream_info("ORDERS")).state.messages == 1
        picture = lab.map(trace=trace).svg
        assert words(picture).count("stored in ORDERS") == 1
        arrows = picture.count("url(#step-")
        assert arrows == len([s for s in told if s[2] == "CLIENT" or s[1:2] == ("egress",)])
        for client in (ada, dan, bob):
            await client.close()


async def test_a_message_is_followed_through_leaf_mapping_and_account():
    with labkit.start({"hub": ACCOUNTS, "leaf": LEAF.replace("//", "//a:a@")}) as lab:
        ada = await lab.connect("leaf", name="ada")
        bob = await lab.connect("hub", name="bob", user="b", password="b")
        heard = await listen(bob, "from.a.>")
        trace = await followed(ada, "raw.reading", 1, payload=b"21.5")
        assert steps(trace) == [
            ("leaf", "ingress", "CLIENT", "ada"),
            ("leaf", "egress", "LEAF", "hub"),
            ("hub", "ingress", "LEAF", "leaf"),
            ("hub", "subject mapping", None, None),
            ("hub", "stream export", None, None),
            ("hub", "egress", "CLIENT", "bob"),
        ]
        assert [(e.hop, e.account, e.to) for e in trace.events][2:5] == [
            ("1", "A", None),
            ("1", None, "clean.reading"),
            ("1", "B", "from.a.reading"),
        ]
        await bob.flush()
        assert [(m.subject, m.data) for m in heard] == [("from.a.reading", b"21.5")]
        assert "→ clean.reading ·…" in words(lab.map(trace=trace).svg)
        for client in (ada, bob):
            await client.close()


async def test_a_request_is_followed_into_the_account_that_serves_it():
    with labkit.start({"hub": ACCOUNTS}) as lab:
        seller = await lab.connect(name="seller", user="a", password="a")
        buyer = await lab.connect(name="buyer", user="b", password="b")
        await listen(seller, "price")
        trace = await followed(buyer, "price", 1, only=True)
        assert [(e.type, e.account, e.name) for e in trace.events] == [
            ("ingress", "B", "buyer"),
            ("service import", "A", None),
            ("egress", "A", "seller"),
        ]
        for client in (seller, buyer):
            await client.close()


async def test_a_message_that_is_only_followed_reaches_nobody():
    with labkit.start("jetstream") as lab:
        nc = await lab.connect()
        await nc.jetstream().add_stream(name="S", subjects=["s"])
        heard = await listen(nc, "s")
        trace = await labkit.trace(nc, "s", b"x", only=True)
        assert {e.type for e in trace.events} == {"ingress", "JetStream", "egress"}
        await nc.flush()
        assert heard == []
        assert (await nc.jetstream().stream_info("S")).state.messages == 0
        await nc.close()


async def test_a_message_of_interest_to_nobody_has_an_ingress_only():
    with labkit.start("single") as lab:
        nc = await lab.connect(name="ada")
        trace = await labkit.trace(nc, "nobody", headers={"Mine": "1"})
        assert steps(trace) == [("n1", "ingress", "CLIENT", "ada")]
        assert repr(trace) == "nobody:\nn1: from CLIENT ada on nobody"
        await nc.close()


async def test_a_trace_is_a_table_too():
    with labkit.start("leaf-nodes") as lab:
        ada, bob = await lab.connect("leaf", name="ada"), await lab.connect("hub", name="bob")
        await listen(bob, "x")
        table = (await followed(ada, "x", 1)).frame()
        assert list(table["server"]) == ["leaf", "leaf", "hub", "hub"]
        assert list(table["kind"]) == ["CLIENT", "LEAF", "LEAF", "CLIENT"]
        assert str(table["time"].dtype) == "datetime64[ns, UTC]"
        assert table["after"].min() == pd.Timedelta(0)
        assert table["after"].max() == table["time"].max() - table["time"].min()
        for client in (ada, bob):
            await client.close()


async def test_a_server_that_does_not_answer_leaves_the_trace_incomplete():
    with labkit.start("leaf-nodes") as lab:
        ada, bob = await lab.connect("leaf", name="ada"), await lab.connect("hub", name="bob")
        await listen(bob, "x")
        await followed(ada, "x", 1)
        lab["hub"].pause()
        trace = await labkit.trace(ada, "x", timeout=0.5)
        assert not trace.complete
        assert steps(trace) == [
            ("leaf", "ingress", "CLIENT", "ada"),
            ("leaf", "egress", "LEAF", "hub"),
        ]
        assert "not every server on the way was heard" in repr(trace)
        lab["hub"].resume()
        for client in (ada, bob):
            await client.close()


async def test_a_message_is_followed_over_a_slow_link():
    with labkit.start("leaf-nodes") as lab:
        ada, bob = await lab.connect("leaf", name="ada"), await lab.connect("hub", name="bob")
        await listen(bob, "x")
        await followed(ada, "x", 1)
        lab.delay("leaf", "hub", 300)
        trace = await labkit.trace(ada, "x", timeout=8)
        assert trace.complete
        assert steps(trace)[-1] == ("hub", "egress", "CLIENT", "bob")
        for client in (ada, bob):
            await client.close()


async def test_following_takes_no_longer_than_it_may():
    with labkit.start("leaf-nodes") as lab:
        ada = await lab.connect("leaf")
        lab["leaf"].pause()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ada.flush(1), 2)
        began = asyncio.get_running_loop().time()
        trace = await labkit.trace(ada, "x", timeout=0.5)
        assert asyncio.get_running_loop().time() - began < 5
        assert trace.events == []
        lab["leaf"].resume()
        await ada.close()
