# says: with that it hears nothing of metrics.<host>.cpu
collector = await lab.connect(name="collector")


async def forward(message):
    await collector.publish("dashboard", message.data)


await collector.subscribe("metric.*.cpu", cb=forward)
await collector.flush()
