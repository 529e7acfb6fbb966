# says: does your callback answer with a neighbour's name instead of `me`?
player = await room.connect(name="player", replace=True)


async def won(message):
    await message.respond(b"jean")


for _ in range(2):
    await player.subscribe("room.lottery", queue="lottery", cb=won)
