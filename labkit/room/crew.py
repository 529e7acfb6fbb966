"""The process in which a simulated room's services and neighbours live, started beside its servers.

Run as `python -m labkit.room.crew HUB_URL NEIGHBOURS_URL SEATS SEED` by labkit.room.simulation. It
ends with the lab. A process of its own, so that a cell that computes does not silence the room.
"""

from __future__ import annotations

import asyncio
import sys

import nats
import nats.errors

from labkit.room import neighbours, services

OPEN_TIMEOUT = 10.0  # seconds


async def until_reached(url: str) -> None:
    """Return when the guestbook answers at this server too: the hub's interest must cross first."""
    nc = await nats.connect(url, name="door")
    async with asyncio.timeout(OPEN_TIMEOUT):
        while True:
            try:
                await nc.request("room.guestbook", timeout=1)
                break
            except (nats.errors.NoRespondersError, nats.errors.TimeoutError):
                await asyncio.sleep(0.005)
    await nc.close()


async def main(hub: str, beside: str, seats: int, seed: int) -> None:
    """Serve the room until the process is ended."""
    host = await nats.connect(hub, name="host", reconnect_time_wait=0.25, max_reconnect_attempts=-1)
    await services.serve(host)
    await until_reached(beside)
    await neighbours.fill(beside, seats, seed)
    await host.publish("room.opened", b"")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
