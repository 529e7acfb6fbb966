workers = [await lab.connect(name=f"worker-{number}") for number in (1, 2, 3)]


async def resize_all(subscription):
    async for message in subscription.messages:
        await resize(message)


serving = []
for worker in workers:
    subscription = await worker.subscribe("resize", queue="resizers")
    serving.append((subscription, asyncio.create_task(resize_all(subscription))))


async def drain_one():
    subscription, task = serving[0]
    await subscription.drain()  # returns when the loop has taken the last message …
    await asyncio.wait({task}, timeout=1)  # … and this when it has answered it
