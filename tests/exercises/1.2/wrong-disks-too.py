# says: the dashboard showed lines that are not the CPU reading
collector = await lab.connect(name="collector")


async def forward(message):
    host = message.subject.split(".")[1]
    await collector.publish("dashboard", f"{host} {message.data.decode()}".encode())


await collector.subscribe("metrics.>", cb=forward)
