# says: \n'; a line is "<host> <reading>"
collector = await lab.connect(name="collector", replace=True)


async def fwd(m):
    host = m.subject.split(".")[1]
    await collector.publish("dashboard", f"{host} {m.data.decode()}\n".encode())


await collector.subscribe("metrics.*.cpu", cb=fwd)
