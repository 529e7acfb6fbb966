import functools

collector = await lab.connect(name="collector", replace=True)


async def fwd(out, m):
    await out.publish("dashboard", b"%s %s" % (m.subject.split(".")[1].encode(), m.data))


await collector.subscribe("metrics.*.cpu", cb=functools.partial(fwd, nc))
