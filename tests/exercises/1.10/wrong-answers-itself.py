# says: your bot answers its own lines, which come back to it
bot = await room.connect(name="bot", replace=True)


async def answer(message):
    caller = message.subject.split(".")[2]
    if me in message.data.decode():
        await bot.publish(f"room.chat.{me}", f"{me}: you called, {caller}?".encode())


await bot.subscribe("room.chat.*", cb=answer)
