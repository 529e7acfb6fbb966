# says: requests got no answer: they were waiting in the worker that left
workers = [await lab.connect(name=f"worker-{number}") for number in (1, 2, 3)]
leaving = [await worker.subscribe("resize", queue="resizers", cb=resize) for worker in workers][1]


async def drain_one():
    await leaving.unsubscribe()
