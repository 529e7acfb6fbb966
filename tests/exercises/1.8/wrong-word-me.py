# says: you answered with the word me
async def here(message):
    await message.respond(b"me")


await nc.subscribe("room.rollcall", cb=here)
