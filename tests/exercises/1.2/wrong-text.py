# says: can't concat str to bytes. A payload is bytes: text.encode()
collector = await lab.connect(name="collector", replace=True)


async def forward(message):
    host = message.subject.split(".")[1]
    await collector.publish("dashboard", f"{host} {message.data.decode()}")


await collector.subscribe("metrics.*.cpu", cb=forward)
