# says: you answered 2 times
async def here(message):
    await message.respond(me.encode())


for _ in range(2):
    await nc.subscribe("room.rollcall", cb=here)
