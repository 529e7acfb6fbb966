# says: did you subscribe with cb=resize?
workers = [await lab.connect(name=f"worker-{number}") for number in (1, 2, 3)]
for worker in workers:
    await worker.subscribe("resize", queue="resizers")


async def drain_one():
    await workers[1].drain()
