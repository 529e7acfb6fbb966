# says: you also answered a request on room.
present = await room.connect(name="present", replace=True)


async def here(m):
    if m.reply:
        await m.respond(me.encode())


await present.subscribe("room.>", cb=here)
