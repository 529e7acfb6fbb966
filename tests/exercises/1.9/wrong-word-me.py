# says: the winner's name was the word me
player = await room.connect(name="player", replace=True)


async def won(message):
    await message.respond(b"me")


for _ in range(2):
    await player.subscribe("room.lottery", queue="lottery", cb=won)
