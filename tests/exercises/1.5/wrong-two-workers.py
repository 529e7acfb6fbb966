# says: 2 workers listen on resize, not three
workers = [await lab.connect(name=f"worker-{number}") for number in (1, 2, 3)]
for worker in workers[:2]:
    await worker.subscribe("resize", queue="resizers", cb=resize)


async def drain_one():
    await workers[1].drain()
