# says: the recorder reported a slow consumer: its queue was full
recorder = await lab.connect(name="recorder")


async def record(message):
    await store(message.data)


await recorder.subscribe("readings", cb=record, pending_msgs_limit=100)
