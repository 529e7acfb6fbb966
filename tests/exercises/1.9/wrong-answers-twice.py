# says: one draw got 2 answers from one ticket
client = await room.connect(name="tickets")


async def won(message):
    await message.respond(me.encode())
    await message.respond(me.encode())


for _ in range(2):
    await client.subscribe("room.lottery", queue="lottery", cb=won)
