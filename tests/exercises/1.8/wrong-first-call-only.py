# says: call 2 of 3
present = await room.connect(name="present", replace=True)


async def here(m):
    await m.respond(me.encode())


s = await present.subscribe("room.rollcall", cb=here)
await s.unsubscribe(limit=1)
