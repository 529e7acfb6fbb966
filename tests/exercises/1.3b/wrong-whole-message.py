# says: A payload is bytes: message.data
recorder = await lab.connect(name="recorder", replace=True)


async def record(m):
    await store(m)


await recorder.subscribe("readings", cb=record, pending_msgs_limit=10000)
