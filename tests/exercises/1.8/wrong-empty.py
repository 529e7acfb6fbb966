# says: your answer is empty
async def here(message):
    await message.respond(b"")


await nc.subscribe("room.rollcall", cb=here)
