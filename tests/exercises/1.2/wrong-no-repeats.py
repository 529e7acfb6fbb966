# says: readings did not reach the dashboard
collector = await lab.connect(name="collector", replace=True)
last = {}


async def forward(message):
    host = message.subject.split(".")[1]
    if last.get(host) != message.data:
        last[host] = message.data
        await collector.publish("dashboard", f"{host} {message.data.decode()}".encode())


await collector.subscribe("metrics.*.cpu", cb=forward)
