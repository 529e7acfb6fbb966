# says: a winner said newcomer-2, and your name is newcomer
player = await room.connect(name="player", replace=True)


async def won(m):
    await m.respond(me.encode())


async def won2(m):
    await m.respond((me + "-2").encode())


await player.subscribe("room.lottery", queue="lottery", cb=won)
await player.subscribe("room.lottery", queue="lottery", cb=won2)
