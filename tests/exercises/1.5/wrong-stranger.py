# says: somebody else answers on resize too: takes-some
workers = [await lab.connect(name=f"worker-{n}", replace=True) for n in (1, 2, 3)]
stranger = await lab.connect(name="takes-some", replace=True)
for worker in [*workers, stranger]:
    await worker.subscribe("resize", queue="resizers", cb=resize)


async def drain_one():
    await workers[1].drain()
