# says: 4 tickets. Double your odds, no more
async def won(message):
    await message.respond(me.encode())


for _ in range(4):
    await nc.subscribe("room.lottery", queue="lottery", cb=won)
