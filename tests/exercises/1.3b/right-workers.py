recorder = await lab.connect(name="recorder")
waiting = asyncio.Queue()


async def work():
    while True:
        await store(await waiting.get())


async def record(message):
    waiting.put_nowait(message.data)


workers = [asyncio.create_task(work()) for _ in range(20)]
await recorder.subscribe("readings", cb=record)
