# says: requests got no answer: they were waiting in the worker that left
workers = [await lab.connect(name=f"worker-{number}") for number in (1, 2, 3)]
for worker in workers:
    await worker.subscribe("resize", queue="resizers", cb=resize)


async def drain_one():
    await workers[1].close()
