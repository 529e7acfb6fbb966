# says: your own subject is room.chat.newcomer
bot = await room.connect(name="bot", replace=True)


async def cb(m):
    who = m.subject.split(".")[2]
    if who != me and me in m.data.decode():
        await bot.publish(f"room.chat.{who}", f"hello {who}, I'm here".encode())


await bot.subscribe("room.chat.*", cb=cb)
