# says: you also answered "tell me, what is for tea?"
bot = await room.connect(name="bot", replace=True)


async def cb(m):
    who = m.subject.split(".")[2]
    if who != me and "me" in m.data.decode():
        await bot.publish(f"room.chat.{me}", f"hello {who}".encode())


await bot.subscribe("room.chat.*", cb=cb)
