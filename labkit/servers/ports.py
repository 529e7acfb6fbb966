"""Free loopback ports, and who holds one that is taken."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import socket

from labkit.servers.errors import TopologyError

LOOPBACK = "127.0.0.1"
# Below the ranges from which systems give ports to outgoing connections (Linux from 32768,
# macOS and Windows from 49152), so that no client's own port takes one between choice and use.
RANGE = range(15000, 32000)
# In the environment, "2/5" for the third of five processes that share the range: none of them takes
# a port that a server of another keeps while it is stopped.
SHARE = "LABKIT_PORTS"
# Each process goes round the range from a place of its own: a port comes back as late as can be, so
# that a client of a lab that is gone, and dials on, does not find its way into the next one.
_turns = itertools.count(random.randrange(len(RANGE)))


def free_ports(count: int) -> list[int]:
    """`count` different ports that nobody listens on at this moment.

    Somebody may take one before it is used: the caller starts, and on "address already in use"
    chooses again. Raises TopologyError when there are not enough.
    """
    number, _, processes = os.environ.get(SHARE, "0/1").partition("/")
    ours = RANGE[int(number) :: int(processes)]
    once_round = (ours[next(_turns) % len(ours)] for _ in ours)
    chosen = list(itertools.islice(filter(is_free, once_round), count))
    if len(chosen) < count:
        raise TopologyError(
            f"{count} free ports are needed on {LOOPBACK}, {len(chosen)} were found"
        )
    return chosen


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            probe.bind((LOOPBACK, port))
            return True
    return False


def holder(port: int) -> str:
    """Who listens on the port, for a person: "nats-server (pid 4711)"; "" where it cannot be seen."""
    import psutil

    for process in psutil.process_iter(["pid", "name"]):
        with contextlib.suppress(psutil.Error):
            for connection in process.net_connections(kind="tcp"):
                if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                    return f"{process.info['name']} (pid {process.info['pid']})"
    return ""
