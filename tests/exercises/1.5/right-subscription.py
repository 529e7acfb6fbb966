workers = [await lab.connect(name=f"worker-{number}") for number in (1, 2, 3)]
subscriptions = {}
for worker in workers:
    subscriptions[worker] = await worker.subscribe("resize", "pictures", resize)


async def drain_one():
    leaving, subscription = subscriptions.popitem()
    await subscription.drain()
    await leaving.flush()
    await leaving.close()
