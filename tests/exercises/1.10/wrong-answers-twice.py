# says: you said 2 lines when you were called once
bot = await room.connect(name="bot", replace=True)


async def answer(message):
    caller = message.subject.split(".")[2]
    if caller != me and me in message.data.decode():
        for greeting in ("Yes", "Here I am"):
            await bot.publish(f"room.chat.{me}", f"{greeting}, {caller}!".encode())


await bot.subscribe("room.chat.*", cb=answer)
