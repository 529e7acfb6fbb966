# says: the callback blocks the event loop
recorder = await lab.connect(name="recorder")


async def record(message):
    time.sleep(0.002)
    await nc.publish("stored", message.data)


await recorder.subscribe("readings", cb=record, pending_msgs_limit=10_000)
