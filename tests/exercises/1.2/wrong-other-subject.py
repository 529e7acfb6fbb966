# says: so it hears nothing on metrics.<host>.cpu
collector = await lab.connect(name="collector")


async def forward(message):
    await collector.publish("dashboard", message.data)


await collector.subscribe("metric.*.cpu", cb=forward)
await collector.flush()
