"""Launching a planned topology: its ports, its private copies, its processes, until it is usable."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Literal

from labkit.servers import faults, placement, ports, readiness
from labkit.servers.errors import NotInTimeError, TopologyError
from labkit.servers.placement import PlannedServer
from labkit.servers.processes import Guard
from labkit.servers.server import ServerProcess, launch_all, taken
from labkit.servers.wait import wait_until

# A chosen port can be taken before the server listens on it; then all are chosen anew.
PORT_ATTEMPTS = 5
RELEASE_TIMEOUT = 1.0  # seconds, for a lab that ends to leave its well-known ports

Ports = Literal["free", "well-known"]


def launch(
    planned: list[PlannedServer],
    make: Callable[[PlannedServer], ServerProcess],
    guard: Guard,
    choice: Ports,
    timeout: float,
    breaker: faults.Faults | None,
    meanwhile: Callable[[dict[str, ServerProcess]], None],
) -> tuple[dict[str, ServerProcess], dict[int, int]]:
    """Place, launch and wait for all servers; with free ports again while one was taken meanwhile.

    `meanwhile` is called while they start, with the addresses that they have this time.
    """
    if choice == "well-known":
        _await_free(placement.literal_ports(planned))
    for attempt in range(1, PORT_ATTEMPTS + 1):
        dialed = _choose_dialed(planned) if breaker else {}
        port_map = _assign(planned, guard, choice, dialed)
        servers = {p.name: make(p) for p in planned}
        try:
            readiness_deadline = time.monotonic() + timeout
            if breaker:
                breaker.open(faults.forwards(planned, dialed))
            launched: list[ServerProcess] = []
            for wave in readiness.launch_order(servers.values(), forwarded=bool(breaker)):
                readiness.wait_answers(launched, readiness_deadline - time.monotonic())
                launch_all(wave, guard)
                launched += wave
            meanwhile(servers)
            if breaker:
                breaker.wait_open()
            readiness.wait_usable(servers, readiness_deadline - time.monotonic())
            return servers, port_map
        except TopologyError as error:
            taken = isinstance(error, faults.PortTakenError) or any(
                server.port_in_use() for server in servers.values()
            )
            if not taken or choice == "well-known" or attempt == PORT_ATTEMPTS:
                raise
            for server in servers.values():
                server.kill()
                server.log.path.unlink(
                    missing_ok=True
                )  # it tells of a port that is no longer meant
    raise AssertionError("the last attempt returns or raises")


def _choose_dialed(planned: list[PlannedServer]) -> dict[int, int]:
    wanted = faults.to_forward(planned)
    return dict(zip(wanted, ports.free_ports(len(wanted)), strict=True))


def _await_free(wanted: set[int]) -> None:
    """Wait for the well-known ports: a lab that has just ended may still be leaving them."""
    for port in sorted(wanted):
        try:
            wait_until(functools.partial(ports.is_free, port), RELEASE_TIMEOUT, f"port {port}")
        except NotInTimeError:
            raise TopologyError(taken(port)) from None


def _assign(
    planned: list[PlannedServer], guard: Guard, choice: Ports, dialed: dict[int, int]
) -> dict[int, int]:
    """Give each listener its port and write the private copies; returns the port of each literal one."""
    literal = sorted(placement.literal_ports(planned))
    others = sum(2 + len(p.listeners) for p in planned)
    free = [
        p for p in ports.free_ports(len(literal) + others + len(dialed)) if p not in dialed.values()
    ]
    if choice == "well-known":
        port_map = {port: port for port in literal}
        free = [port for port in free if port not in literal]
    else:
        port_map = dict(zip(literal, free, strict=False))
        free = free[len(literal) :]
    spare = iter(free)
    for server in planned:
        if choice == "well-known" and server.listeners[0].setting is None:
            port_map[placement.CLIENT_PORT] = placement.CLIENT_PORT
        placement.place(server, guard.folder, port_map, spare, dialed)
    return port_map
