"""The forwarder itself: whom it lets wait while a server starts, and whom it refuses."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from labkit.servers import ports
from labkit.servers.forwarder import Forwarder
from labkit.servers.wait import wait_until


@contextmanager
def forwarding(kind: str) -> Iterator[tuple[int, int]]:
    """The port that is dialed and the port where a server may listen later."""
    dialed, to = ports.free_ports(2)
    answers: list[dict] = []
    forwarder = Forwarder(answers.append)
    threading.Thread(target=forwarder.run, daemon=True).start()
    forwarder.order({"id": "1", "links": {"open": [(dialed, to, "hub", kind)]}})
    wait_until(lambda: answers == [{"id": "1", "answer": {}}], 5, "the forwarder to listen")
    yield dialed, to


def server_at(port: int) -> socket.socket:
    return socket.create_server(("127.0.0.1", port))


def dial(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=5)


def test_a_leaf_node_that_dials_before_its_hub_listens_is_connected_when_it_does():
    with forwarding("leafnodes") as (dialed, to), dial(dialed) as leaf:
        leaf.settimeout(0.2)
        with pytest.raises(TimeoutError):
            leaf.recv(1)
        with server_at(to) as hub:
            accepted, _ = hub.accept()
            accepted.sendall(b"INFO")
            leaf.settimeout(5)
            assert leaf.recv(10) == b"INFO"
            accepted.close()


@pytest.mark.alone
def test_a_leaf_node_does_not_wait_for_longer_than_it_would_wait_for_its_hub():
    with forwarding("leafnodes") as (dialed, _), dial(dialed) as leaf:
        began = time.monotonic()
        assert leaf.recv(1) == b""
        assert 0.9 < time.monotonic() - began < 3


@pytest.mark.alone
def test_a_leaf_node_is_refused_at_once_when_its_hub_has_gone_again():
    with forwarding("leafnodes") as (dialed, to):
        with server_at(to) as hub, dial(dialed):
            hub.accept()[0].close()
        with dial(dialed) as leaf:
            began = time.monotonic()
            assert leaf.recv(1) == b""
            assert time.monotonic() - began < 0.9, "it would have waited for a second"


@pytest.mark.alone
@pytest.mark.parametrize("kind", ["cluster", "gateway"])
def test_servers_that_dial_each_other_are_refused_as_without_a_forwarder(kind):
    with forwarding(kind) as (dialed, _), dial(dialed) as peer:
        began = time.monotonic()
        assert peer.recv(1) == b""
        assert time.monotonic() - began < 0.9, "it would have waited for a second"


def test_a_port_that_is_taken_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answers: list[dict] = []
        forwarder = Forwarder(answers.append)
        threading.Thread(target=forwarder.run, daemon=True).start()
        forwarder.order({"id": "1", "links": {"open": [(port, 1, "hub", "cluster")]}})
        wait_until(lambda: bool(answers), 5, "the forwarder to answer")
        assert answers[0]["answer"]["port"] == port
