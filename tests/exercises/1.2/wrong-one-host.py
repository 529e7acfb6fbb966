# says: readings did not reach the dashboard
collector = await lab.connect(name="collector")


async def forward(message):
    host = message.subject.split(".")[1]
    await collector.publish("dashboard", f"{host} {message.data.decode()}".encode())


await collector.subscribe("metrics.ada.cpu", cb=forward)
