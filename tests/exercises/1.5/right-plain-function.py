workers = [await lab.connect(name=f"worker-{n}", replace=True) for n in (1, 2, 3)]
for worker in workers:
    await worker.subscribe("resize", queue="workers", cb=resize)


def drain_one():
    return workers[0].drain()
