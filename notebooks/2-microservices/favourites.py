"""A service that tells what somebody likes best. It runs against any NATS server:

    python favourites.py --owner ada
    NATS_URL=nats://127.0.0.1:4222 python favourites.py --owner ada --version 1.1.0

favourites.list      the things of which ada has a favourite, as JSON: ["colour", "food", "season"]
favourites.get       the payload is one of them, the answer is the favourite: colour -> green
                     anything else gets the error 404
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


async def serve(owner, version, prefix, slow, leave):
    nc = await nats.connect(os.environ.get("NATS_URL", "nats://127.0.0.1:4222"), name=owner)
    service = await nats.micro.add_service(
        nc,
        name="favourites",
        version=version,
        description="What somebody likes best",
        metadata={"owner": owner},
    )

    async def list_favourites(request):
        await request.respond(json.dumps(sorted(FAVOURITES)).encode())

    async def get_favourite(request):
        await asyncio.sleep(slow)
        thing = request.data.decode()
        if thing not in FAVOURITES:
            raise ServiceError("404", f"{owner} has no favourite {thing}")
        await request.respond(FAVOURITES[thing].encode())

    group = service.add_group(name=prefix)
    await group.add_endpoint(name="list", handler=list_favourites)
    await group.add_endpoint(name="get", handler=get_favourite)
    await nc.flush()
    print(f"favourites {version} of {owner} is ready: {service.id}")
    await leave.wait()
    await nc.drain()  # answers what has arrived, then closes


async def main():
    parser = argparse.ArgumentParser(description="A service that tells what somebody likes best")
    parser.add_argument("--owner", default="ada")
    parser.add_argument("--version", default="1.0.0")
    parser.add_argument("--prefix", default="favourites", help="where its subjects begin")
    parser.add_argument("--slow", type=float, default=0, help="seconds that each answer takes")
    leave = asyncio.Event()
    if os.name != "nt":  # Windows has no SIGTERM
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, leave.set)
    await serve(**vars(parser.parse_args()), leave=leave)


if __name__ == "__main__":
    asyncio.run(main())
