"""What the forwarder in the links costs: messages a second and a request's time across one link.

Run: python benchmarks/links.py [rounds]. The same traffic crosses a leaf link and a route, once
with links="forwarded" and once with links="direct", in turn on this machine. Prints medians and
their ratio. Messages go from a raw socket to a raw socket, so that no client library slows them;
requests are those of nats-py, both clients in one process, as in a notebook.
"""

from __future__ import annotations

import asyncio
import socket
import statistics
import sys
import threading
import time
from typing import NamedTuple, get_args

import nats.aio.msg
import nats.errors

import labkit
from labkit.servers.topology import LinkChoice, RunningTopology

MESSAGES = 200_000
SIZE = 128  # bytes
REQUESTS = 2_000
LINKS = {"leaf": ("leaf-nodes", "leaf", "hub"), "route": ("cluster", "n1", "n2")}
TIMEOUT = 60.0  # seconds


class Cost(NamedTuple):
    """Messages a second by a raw socket, and the median request in microseconds."""

    rate: float
    request: float


def read_until(sock: socket.socket, wanted: bytes) -> None:
    """Read until these bytes have come."""
    got = b""
    while wanted not in got:
        got = got[-len(wanted) :] + sock.recv(1 << 20)


def open_raw(url: str) -> socket.socket:
    """A raw connection that has said CONNECT and been answered."""
    host, port = url.removeprefix("nats://").split(":")
    sock = socket.create_connection((host, int(port)), timeout=TIMEOUT)
    sock.sendall(b'CONNECT {"verbose":false,"pedantic":false}\r\nPING\r\n')
    read_until(sock, b"PONG\r\n")
    return sock


def rate(lab: RunningTopology, here: str, there: str) -> float:
    """Messages a second from a raw socket at one server to a raw socket at the other."""
    sender, receiver = open_raw(lab[here].url), open_raw(lab[there].url)
    receiver.sendall(b"SUB bench 1\r\nSUB last 2\r\nPING\r\n")
    read_until(receiver, b"PONG\r\n")
    warm_up(sender, receiver)
    batch = (b"PUB bench %d\r\n%s\r\n" % (SIZE, bytes(SIZE))) * 1000
    reading = threading.Thread(target=read_until, args=(receiver, b"MSG last "))
    began = time.perf_counter()
    reading.start()
    for _ in range(MESSAGES // 1000):
        sender.sendall(batch)
    sender.sendall(b"PUB last 1\r\nx\r\n")
    reading.join()
    took = time.perf_counter() - began
    sender.close()
    receiver.close()
    return MESSAGES / took


def warm_up(sender: socket.socket, receiver: socket.socket) -> None:
    """Publish until the interest has crossed the link and a message arrives."""
    receiver.settimeout(0.05)
    while True:
        sender.sendall(b"PUB last 1\r\nx\r\n")
        try:
            read_until(receiver, b"MSG last ")
            break
        except TimeoutError:
            continue
    try:
        while receiver.recv(1 << 20):
            continue
    except TimeoutError:
        receiver.settimeout(TIMEOUT)


async def request(lab: RunningTopology, here: str, there: str) -> float:
    """Microseconds of the median request that crosses the link and comes back."""
    asker, answerer = await lab.connect(here), await lab.connect(there)

    async def answer(message: nats.aio.msg.Msg) -> None:
        await message.respond(message.data)

    await answerer.subscribe("echo", cb=answer)
    await answerer.flush()
    took: list[float] = []
    while len(took) < REQUESTS:
        began = time.perf_counter()
        try:
            await asker.request("echo", b"x", timeout=5)
        except nats.errors.NoRespondersError:  # the interest has not crossed yet
            continue
        took.append(time.perf_counter() - began)
    await asker.close()
    await answerer.close()
    return statistics.median(took) * 1e6


def measure(topology: str, here: str, there: str, links: LinkChoice) -> Cost:
    """One round on a lab of its own."""
    with labkit.start(topology, links=links) as lab:
        return Cost(rate(lab, here, there), asyncio.run(request(lab, here, there)))


def main(rounds: int) -> None:
    print(f"medians of {rounds} rounds in turn, messages of {SIZE} bytes")
    for name, link in LINKS.items():
        seen: dict[str, list[Cost]] = {choice: [] for choice in get_args(LinkChoice)}
        for _ in range(rounds):
            for choice in get_args(LinkChoice):
                seen[choice].append(measure(*link, choice))
        middle = {
            choice: Cost(*map(statistics.median, zip(*costs, strict=True)))
            for choice, costs in seen.items()
        }
        for choice, cost in middle.items():
            print(
                f"  {name:6} {choice:10} {cost.rate:10,.0f} messages/s ({cost.rate / middle['direct'].rate:.2f})"
                f"   request {cost.request:5.0f} µs ({cost.request / middle['direct'].request:.2f})"
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
