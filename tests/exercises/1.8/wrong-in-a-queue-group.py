# says: your subscription is in the queue group lottery
async def here(message):
    await message.respond(me.encode())


await nc.subscribe("room.rollcall", queue="lottery", cb=here)
