# says: and you said nothing within half a second
bot = await room.connect(name="bot", replace=True)
known = set()


async def cb(m):
    who = m.subject.split(".")[2]
    if who != me and who not in known and me in m.data.decode():
        known.add(who)
        await bot.publish(f"room.chat.{me}", f"hello {who}".encode())


await bot.subscribe("room.chat.*", cb=cb)
