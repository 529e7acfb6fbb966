# says: is not in the queue group: write queue="lottery"
async def won(message):
    await message.respond(me.encode())


for _ in range(2):
    await nc.subscribe("room.lottery", cb=won)
