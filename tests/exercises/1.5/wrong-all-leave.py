# says: requests found nobody: did all workers leave?
workers = [await lab.connect(name=f"worker-{number}") for number in (1, 2, 3)]
for worker in workers:
    await worker.subscribe("resize", queue="resizers", cb=resize)


async def drain_one():
    for worker in workers:
        await worker.drain()
