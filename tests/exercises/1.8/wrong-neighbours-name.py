# says: you answered 'jean'; your name is 'newcomer'
present = await room.connect(name="present", replace=True)


async def here(m):
    await m.respond(b"jean")


await present.subscribe("room.rollcall", cb=here)
