collector = await lab.connect(name="collector")
readings = await collector.subscribe("metrics.*.cpu")


async def forward_all():
    async for message in readings.messages:
        _, host, _ = message.subject.split(".")
        await collector.publish("dashboard", host.encode() + b" " + message.data)


forwarding = asyncio.create_task(forward_all())
