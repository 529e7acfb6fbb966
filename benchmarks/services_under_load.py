"""Requests to a service while its instances are killed, drained and added: how many fail.

    python benchmarks/services_under_load.py [20000]

Two callers side by side send that many requests each, as in notebook 22: one asks again when no
answer comes within half a second, three times in all; the other asks once. Ends with 1 if a
request of the first one failed.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections import Counter
from pathlib import Path

import nats.errors

import labkit
from labkit.servers.programs import Program

FAVOURITES = Path(__file__).parents[1] / "notebooks" / "2-microservices" / "favourites.py"
INSTANCES, AT_ONCE, TIMEOUT, TRIES = 3, 10, 0.5, 3
PAUSE = 0.15  # seconds between two changes of the team


async def main(total: int) -> int:
    async with await labkit.start.aio("single") as lab:
        numbers = itertools.count(1)
        team = [await hire(lab, next(numbers)) for _ in range(INSTANCES)]
        changes: Counter[str] = Counter()
        began = time.monotonic()
        callers = asyncio.gather(
            *(call(lab, name, tries, total) for name, tries in (("again", TRIES), ("once", 1)))
        )
        while not callers.done():
            how = ("killed", "drained")[changes.total() // 2 % 2]
            leaver = team.pop(0)
            team.append(await hire(lab, next(numbers)))
            await (leaver.kill if how == "killed" else leaver.stop).aio()
            changes.update([how, "added"])
            await asyncio.sleep(PAUSE)
        again, once = await callers
        took = time.monotonic() - began
    what = ", ".join(f"{count} {how}" for how, count in changes.items())
    print(f"{2 * total:,} requests in {took:.1f} s, meanwhile instances: {what}")
    print(f"asked again where no answer came: {again['failed']:,} of {total:,} failed", end=", ")
    print(f"{again['again']:,} were asked again")
    print(f"asked once: {once['failed']:,} of {total:,} failed")
    return 1 if again["failed"] else 0


async def hire(lab: labkit.Lab, number: int) -> Program:
    """One more instance."""
    return await lab.run.aio(FAVOURITES, "--owner", f"owner-{number}", name=f"owner-{number}")


async def call(lab: labkit.Lab, name: str, tries: int, total: int) -> Counter[str]:
    """So many requests, some at once; how many were answered, asked again, and failed for good."""
    client, ended = await lab.connect(name=name), Counter[str]()
    numbers = iter(range(total))

    async def one_after_another() -> None:
        for _ in numbers:
            for attempt in range(tries):
                try:
                    answer = await client.request("favourites.get", b"food", timeout=TIMEOUT)
                except (TimeoutError, nats.errors.NoRespondersError):
                    ended["failed" if attempt == tries - 1 else "again"] += 1
                else:
                    ended["answered" if answer.data == b"noodles" else "failed"] += 1
                    break

    await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE)))
    await client.close()
    return ended


if __name__ == "__main__":
    sys.exit(asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)))
