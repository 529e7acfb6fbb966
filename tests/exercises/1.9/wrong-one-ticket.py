# says: What does the group count as a member?
async def won(message):
    await message.respond(me.encode())


await nc.subscribe("room.lottery", queue="lottery", cb=won)
