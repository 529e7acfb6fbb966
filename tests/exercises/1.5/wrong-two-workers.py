# says: all three workers must listen on resize, and only these do: worker-1, worker-2
workers = [await lab.connect(name=f"worker-{number}") for number in (1, 2, 3)]
for worker in workers[:2]:
    await worker.subscribe("resize", queue="resizers", cb=resize)


async def drain_one():
    await workers[1].drain()
