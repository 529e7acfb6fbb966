# says: does not contain the caller
async def bot(message):
    if me in message.data.decode() and me not in message.subject:
        await nc.publish(f"room.chat.{me}", b"You called?")


await nc.subscribe("room.chat.*", cb=bot)
