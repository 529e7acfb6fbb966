"""What nats.py's own server package and its tests do with servers is possible here too."""

from __future__ import annotations

import shutil

import nats
import pytest

import labkit
from labkit.servers import ports
from labkit.servers.errors import TopologyError
from labkit.servers.probe import read_info

pytestmark = pytest.mark.usefixtures("own_temp")


def info(server) -> dict:
    return read_info(server.planned.addresses["client"])


def test_a_port_that_is_given_is_used():
    (port,) = ports.free_ports(1)
    with labkit.start({"n1": f"listen: 127.0.0.1:{port}"}, ports="well-known") as lab:
        assert lab["n1"].url == f"nats://127.0.0.1:{port}"
        assert info(lab["n1"])["port"] == port
        with pytest.raises(TopologyError, match=f":{port} is taken by"):
            labkit.start({"n2": f"listen: 127.0.0.1:{port}"}, ports="well-known")


def test_any_free_port_is_found():
    with labkit.start({"n1": "port: -1"}) as lab:
        assert info(lab["n1"])["server_name"] == "n1"


@pytest.mark.parametrize(("text", "on"), [("", False), ("jetstream: enabled", True)])
def test_jetstream_is_on_where_the_text_says_so(text: str, on: bool):
    with labkit.start({"n1": text}) as lab:
        assert info(lab["n1"]).get("jetstream", False) is on
        assert lab["n1"].planned.store_path.exists() is on


def test_an_invalid_file_is_told_with_the_servers_own_words():
    with pytest.raises(TopologyError, match=r"n1.conf:1: Parse error"):
        labkit.start({"n1": "cluster {"})


def test_a_store_that_is_a_file_is_told_and_the_server_starts_when_it_is_gone():
    with labkit.start("jetstream") as lab:
        store = lab["n1"].planned.store_path
        lab["n1"].stop()
        shutil.rmtree(store)
        store.write_text("in the way")
        with pytest.raises(TopologyError, match="n1.conf: .*storage directory is not a directory"):
            lab["n1"].start()
        store.unlink()
        lab["n1"].start()
        assert lab["n1"].state == "running"


def test_the_servers_of_a_cluster_tell_a_client_of_each_other():
    with labkit.start("cluster") as lab:
        here = {server.address("client") for server in lab.values()}
        assert len(here) == 3
        for server in lab.values():
            assert set(info(server)["connect_urls"]) == here


async def test_a_client_connects_over_websocket():
    pytest.importorskip("aiohttp", reason="nats-py needs it for WebSocket")
    with labkit.start("websocket") as lab:
        nc = await nats.connect(lab["n1"].websocket_url)
        subscription = await nc.subscribe("hello")
        await nc.publish("hello", b"over WebSocket")
        assert (await subscription.next_msg(timeout=2)).data == b"over WebSocket"
        (connection,) = lab["n1"].monitor("connz")["connections"]
        assert connection["type"] == "websocket" or connection["kind"] == "Client"
        await nc.close()


def test_no_time_at_all_is_told():
    with pytest.raises((TopologyError, labkit.LabError), match="waited|not usable"):
        labkit.start("cluster", timeout=0)


@pytest.mark.parametrize("text", ['listen: "[::1]:4222"', "listen: localhost:4222"])
def test_other_names_of_loopback_work_too(text: str):
    with labkit.start({"n1": text}) as lab:
        assert info(lab["n1"])["server_name"] == "n1"
