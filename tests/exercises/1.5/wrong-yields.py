# says: drain_one returned an object of type async_generator at once
workers = [await lab.connect(name=f"worker-{n}", replace=True) for n in (1, 2, 3)]
for w in workers:
    await w.subscribe("resize", queue="r", cb=resize)


async def drain_one():
    await workers[0].drain()
    yield 1
