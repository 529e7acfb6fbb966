# says: the winner said nothing
async def won(message):
    await message.respond(b"")


for _ in range(2):
    await nc.subscribe("room.lottery", queue="lottery", cb=won)
