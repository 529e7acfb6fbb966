# says: recorder listens on reading, so it hears nothing on readings
recorder = await lab.connect(name="recorder", replace=True)


async def record(message):
    await store(message.data)


await recorder.subscribe("reading", cb=record, pending_msgs_limit=10_000)
