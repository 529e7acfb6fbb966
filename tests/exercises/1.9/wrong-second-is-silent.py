# says: the winner said nothing; has each subscription a callback
player = await room.connect(name="player", replace=True)


async def won(message):
    await message.respond(me.encode())


await player.subscribe("room.lottery", queue="lottery", cb=won)
await player.subscribe("room.lottery", queue="lottery")
