"""Runs instances of services: those of the numbers FIRST to LAST, ten on each connection.

    NATS_URL=nats://127.0.0.1:4222 python serve_many.py FIRST LAST

There are 20 services, s0 to s19; the instance of number 47 is of s7, and its metadata say 47.
"""

from __future__ import annotations

import asyncio
import os
import sys

import nats
import nats.micro

SERVICES = 20
ON_A_CONNECTION = 10


async def answer(request) -> None:
    await request.respond(request.data)


async def serve(first: int, last: int) -> None:
    for begin in range(first, last + 1, ON_A_CONNECTION):
        nc = await nats.connect(os.environ["NATS_URL"])
        for number in range(begin, min(begin + ON_A_CONNECTION, last + 1)):
            service = await nats.micro.add_service(
                nc,
                name=f"s{number % SERVICES}",
                version=f"1.{number // SERVICES}.0",
                metadata={"number": str(number)},
            )
            await service.add_endpoint(name="echo", subject=f"echo.{number}", handler=answer)
        await nc.flush()
    print(f"{first} to {last} are ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
