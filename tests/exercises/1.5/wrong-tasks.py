# says: Did it drain, and was all its work done by then?
workers = [await lab.connect(name=f"worker-{number}") for number in (1, 2, 3)]
tasks = set()


async def resize_aside(message):
    if message.data.endswith(b"0"):  # a large picture, for which the others must not wait
        tasks.add(asyncio.create_task(resize_later(message)))
    else:
        await resize(message)


async def resize_later(message):
    await asyncio.sleep(2)
    await resize(message)


for worker in workers:
    await worker.subscribe("resize", queue="resizers", cb=resize_aside)


async def drain_one():
    await workers[1].drain()
