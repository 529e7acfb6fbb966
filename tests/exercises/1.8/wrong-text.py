# says: A payload is bytes: text.encode()
present = await room.connect(name="present", replace=True)


async def here(message):
    await message.respond(me)


await present.subscribe("room.rollcall", cb=here)
