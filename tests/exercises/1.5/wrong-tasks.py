# says: Did it drain, and had it handled all by then?
workers = [await lab.connect(name=f"worker-{number}") for number in (1, 2, 3)]
tasks = set()


async def resize_aside(message):
    tasks.add(asyncio.create_task(resize_later(message)))


async def resize_later(message):
    await asyncio.sleep(0.6)  # others must not wait for it
    await resize(message)


for worker in workers:
    await worker.subscribe("resize", queue="resizers", cb=resize_aside)


async def drain_one():
    await workers[1].drain()
