# says: 2,000 requests were delivered
workers = [await lab.connect(name=f"worker-{number}") for number in (1, 2, 3)]
for worker in workers:
    await worker.subscribe("resize", cb=resize)


async def drain_one():
    await workers[1].drain()
