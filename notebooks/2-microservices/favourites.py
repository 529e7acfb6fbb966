"""The favourites service tells what somebody likes best. It runs against any NATS:

python favourites.py --owner ada
NATS_URL=nats://127.0.0.1:4222 python favourites.py --owner bob --version 1.1.0
"""

import argparse
import asyncio
import json
import os
import signal

import nats
import nats.micro
from nats.micro.service import ServiceError

FAVOURITES = {"colour": "green", "food": "noodles", "season": "autumn"}


async def serve(owner, version, prefix, slow):
    async def list_favourites(request):
        await request.respond(json.dumps(sorted(FAVOURITES)).encode())

    async def get_favourite(request):
        await asyncio.sleep(slow)
        thing = request.data.decode()
        if thing not in FAVOURITES:
            raise ServiceError("404", f"{owner} has no favourite {thing}")
        await request.respond(FAVOURITES[thing].encode())

    url = os.environ.get("NATS_URL", "nats://127.0.0.1:4222")
    nc = await nats.connect(url, name=owner)
    service = await nats.micro.add_service(
        nc,
        name="favourites",
        version=version,
        description="What somebody likes best",
        metadata={"owner": owner},
    )
    group = service.add_group(name=prefix)
    await group.add_endpoint(name="list", handler=list_favourites)
    await group.add_endpoint(name="get", handler=get_favourite)
    await nc.flush()

    leave = asyncio.Event()
    if os.name != "nt":  # Windows has no such signals, it ends a program at once
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, leave.set)
    print(f"favourites {version} of {owner} is ready: {service.id}")
    await leave.wait()
    await nc.drain()  # answers what has arrived, then closes


if __name__ == "__main__":
    options = argparse.ArgumentParser(description="Tells what somebody likes best")
    options.add_argument("--owner", default="ada")
    options.add_argument("--version", default="1.0.0")
    options.add_argument("--prefix", default="favourites", help="how its subjects begin")
    options.add_argument("--slow", type=float, default=0, help="seconds a get takes")
    asyncio.run(serve(**vars(options.parse_args())))
