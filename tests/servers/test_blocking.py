"""Awaitable twins: the same call, and the event loop of whoever awaits it goes on."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import labkit
from labkit import room
from labkit.attached import Attached, AttachedServer
from labkit.lab import Lab, Server
from labkit.servers.blocking import blocking, blocking_method
from labkit.servers.errors import LabError, ServerStateError
from labkit.servers.wait import wait_until
from labkit.views.trace import Event, Trace

pytestmark = pytest.mark.usefixtures("own_temp")

TICK = 0.002  # seconds
LONGEST = 0.020  # seconds that an awaited call may hold the loop
ROUNDS = 20  # on a machine that is busy something else may hold it; the best round counts

FUNCTIONS = {
    "labkit.start": labkit.start,
    "labkit.attach": labkit.attach,
    "labkit.replay": labkit.replay,
    "room.simulate": room.simulate,
}
THINGS = {"lab": Lab, "server": Server, "room": room.Room}
THINGS |= {"attached": Attached, "attached server": AttachedServer}
EXTRA = "cluster { name: c, listen: 127.0.0.1:6229, routes: [nats://127.0.0.1:6222] }"


def twins() -> list[str]:
    """Every call of the kit that has a twin, as "thing.method"."""
    methods = [
        f"{thing}.{name}"
        for thing, kind in THINGS.items()
        for name in dir(kind)
        if isinstance(inspect.getattr_static(kind, name), blocking_method)
    ]
    names = {*labkit.__all__, *room.__all__}
    homes = {"labkit": labkit, "room": room}
    functions = [
        f"{home}.{name}"
        for home, module in homes.items()
        for name in sorted(names & set(dir(module)))
        if hasattr(getattr(module, name), "aio")
    ]
    return methods + functions


HELLO = Event("n1", "", "ingress", "CLIENT", "ada", *[None] * 4, "2026-01-01T00:00:00Z", 1)
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "labkit.replay": (Trace("hello", [HELLO]),),
    "labkit.start": ("jetstream",),
    "lab.add": ("n4", EXTRA.replace("name: c", "name: C1")),
    "lab.cut": ("n1", "n2"),
    "lab.delay": ("n1", "n2", 1),
    "lab.remove": ("n4",),
    "lab.run": (Path(__file__).parents[2] / "notebooks/2-microservices/favourites.py",),
    "lab.run_beside": ("beside", ["/bin/sh", "-c", "exit 0"]),
    "server.monitor": ("varz",),
    "attached server.monitor": ("varz",),
    "server.signal": ("SIGHUP",),
}
BEFORE = {"server.start": "stop", "server.resume": "pause"}
AFTER = {"server.stop": "start", "server.kill": "start", "server.pause": "resume"}
LAST = ("attached.close", "lab.stop", "room.stop")  # nothing can be asked afterwards


def test_what_waits_has_a_twin():
    lab = {"add", "wait_usable", "cut", "delay", "heal", "links", "stop", "connz", "map", "run"}
    server = {"start", "stop", "kill", "restart", "pause", "resume", "reload", "monitor", "connz"}
    wanted = {*(f"lab.{n}" for n in lab), *(f"server.{n}" for n in server), *FUNCTIONS, "room.stop"}
    assert wanted <= set(twins())


async def test_no_twin_holds_the_event_loop():
    with (
        contextlib.closing(Closing()) as opened,
        labkit.start("cluster") as lab,
    ):
        neighbours = await room.simulate.aio(1)
        opened.add(neighbours)
        system = await labkit.attach.aio(monitor=lab["n1"].address("http"))
        things = {"lab": lab, "server": lab["n3"], "room": neighbours}
        things |= {"attached": system, "attached server": system["n1"]}
        gaps = {}
        order = sorted(twins(), key=lambda name: (name in LAST, name == "lab.remove", name))
        assert len(order) == len(set(order))
        for name in order:
            gaps[name] = await best_gap(name, things, opened)
    held = {name: f"{gap * 1000:.0f} ms" for name, gap in gaps.items() if gap > LONGEST}
    assert not held, f"of {len(gaps)} twins these held the loop: {held}"


class Closing:
    """Labs and rooms that a measured call opened."""

    def __init__(self) -> None:
        self._opened: list[Any] = []

    def add(self, thing: Any) -> None:
        """Have it stopped at the end, where it can be."""
        if isinstance(thing, Lab | room.Room):
            self._opened.append(thing)

    def close(self) -> None:
        """Stop all of them."""
        for thing in self._opened:
            thing.stop()


async def best_gap(name: str, things: dict[str, Any], opened: Closing) -> float:
    """The shortest of the longest gaps of some rounds, in seconds; one round where that is good."""
    where, _, method = name.partition(".")
    best = float("inf")
    for number in range(ROUNDS):
        call = FUNCTIONS[name] if name in FUNCTIONS else getattr(things[where], method)
        arguments = ARGUMENTS.get(name, ())
        keywords = {
            "labkit.attach": {"monitor": things["lab"]["n1"].address("http")},
            "labkit.replay": {"lab": things["lab"]},
        }.get(name, {})
        if name == "lab.add":
            arguments = (f"n{4 + number}", arguments[1].replace("6229", str(6229 + number)))
        if name in BEFORE:
            await getattr(things[where], BEFORE[name]).aio()
        with ticking() as gap:
            opened.add(await call.aio(*arguments, **keywords))
            await asyncio.sleep(TICK)
        if name == "server.lame_duck":
            await things["server"].kill.aio()
        if name in AFTER or name == "server.lame_duck":
            await getattr(things[where], AFTER.get(name, "start")).aio()
        best = min(best, gap())
        if best <= LONGEST or name == "lab.remove":
            break
    return best


@contextlib.contextmanager
def ticking() -> Iterator[Callable[[], float]]:
    """While this is entered a task ticks on the loop; gives how long its longest gap was, in seconds."""
    gaps = [0.0]

    async def tick() -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(TICK)
            now = time.perf_counter()
            gaps.append(now - last - TICK)
            last = now

    task = asyncio.get_running_loop().create_task(tick())
    try:
        yield lambda: max(gaps)
    finally:
        task.cancel()


async def test_the_ticker_sees_the_blocking_call_itself():
    with labkit.start("single") as lab:
        server = next(iter(lab.values()))
        with ticking() as gap:
            await asyncio.sleep(TICK)
            server.restart()
            await asyncio.sleep(2 * TICK)
        assert gap() > 0.005


async def test_a_twin_returns_and_raises_what_its_call_does():
    async with await labkit.start.aio("single") as lab:
        server = next(iter(lab.values()))
        varz = await server.monitor.aio("varz")
        assert varz["server_name"] == server.name
        assert await lab.links.aio() == lab.links()
        with pytest.raises(LabError, match="no server 'n9'"):
            await lab.cut.aio("n9", server.name)
        await server.stop.aio()
        with pytest.raises(ServerStateError, match="stopped"):
            await server.monitor.aio("varz")
    assert lab.stopped


async def test_two_that_start_one_server_at_once_start_it_once():
    async with await labkit.start.aio("single") as lab:
        server = next(iter(lab.values()))
        await server.stop.aio()
        outcomes = await asyncio.gather(
            *(server.start.aio() for _ in range(6)), return_exceptions=True
        )
        assert outcomes.count(None) == 1
        assert all("already" in str(outcome) for outcome in outcomes if outcome is not None)


async def test_clients_of_the_loop_close_when_a_twin_stops_their_lab():
    async with await labkit.start.aio("single") as lab:
        nc = await lab.connect()
    for _ in range(500):
        if nc.is_closed:
            break
        await asyncio.sleep(0.01)
    assert nc.is_closed and lab.clients.errors == []


async def test_a_cancelled_twin_goes_on_to_its_end():
    begun, go, done = threading.Event(), threading.Event(), threading.Event()

    @blocking
    def wait() -> None:
        """Wait to be told."""
        begun.set()
        go.wait(10)
        done.set()

    waiting: Awaitable[None] = asyncio.create_task(wait.aio())
    while not begun.is_set():
        await asyncio.sleep(TICK)
    waiting.cancel()  # type: ignore[attr-defined]
    with pytest.raises(asyncio.CancelledError):
        await waiting
    go.set()
    wait_until(done.is_set, 5, "the thread to end")


def test_help_tells_of_the_call_and_its_twin():
    with labkit.start("single") as lab:
        assert str(inspect.signature(lab.heal)) == str(inspect.signature(lab.heal.aio))
        assert (lab.heal.__doc__ or "").startswith("Make links whole again")
        told = lab.heal.aio.__doc__ or ""
        assert told.startswith("`heal`, to be awaited") and "Make links whole again" in told
        assert inspect.iscoroutinefunction(lab.heal.aio)
        assert inspect.isfunction(Lab.heal)  # so that help(Lab) lists it as a method
