async def play(name):
    player = await room.connect(name=name)

    async def won(message):
        await player.publish(message.reply, me.encode())

    await player.subscribe("room.lottery", queue="lottery", cb=won)


await play("mallory")
await play("trudy")
