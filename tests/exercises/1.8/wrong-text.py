# says: A payload is bytes: text.encode()
async def here(message):
    await message.respond(me)


await present.subscribe("room.rollcall", cb=here)
