"""Fixtures for anybody's tests: real servers, started in milliseconds, gone when the test is.

Available wherever labkit is installed; nothing to import. `nats_server` and `nats_cluster` are
for one test each, `nats_server_session` and `nats_cluster_session` for the whole session;
`nats_topology(...)` starts any topology for one test. Each gives a `labkit.Lab`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from labkit.lab import Lab


@pytest.fixture
def nats_topology() -> Iterator[Callable[..., Lab]]:
    """A function that starts a topology as `labkit.start` does; all end with the test."""
    from labkit.lab import start

    with ExitStack() as labs:

        def begin(topology: Any = "single", **options: Any) -> Lab:
            return labs.enter_context(start(topology, **options))

        yield begin


@pytest.fixture
def nats_server(nats_topology: Callable[..., Lab]) -> Lab:
    """A lab of one server with JetStream, for this test: `nats_server["n1"].url`."""
    return nats_topology("jetstream")


@pytest.fixture
def nats_cluster(nats_topology: Callable[..., Lab]) -> Lab:
    """A lab of three clustered servers with JetStream, for this test."""
    return nats_topology("cluster")


@pytest.fixture(scope="session")
def nats_server_session() -> Iterator[Lab]:
    """A lab of one server with JetStream, for all tests of the session."""
    from labkit.lab import start

    with start("jetstream") as lab:
        yield lab


@pytest.fixture(scope="session")
def nats_cluster_session() -> Iterator[Lab]:
    """A lab of three clustered servers with JetStream, for all tests of the session."""
    from labkit.lab import start

    with start("cluster") as lab:
        yield lab
