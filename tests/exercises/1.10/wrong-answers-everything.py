# says: you also answered "tell me, what is for tea?"
async def bot(message):
    caller = message.subject.split(".")[2]
    if caller != me:
        await nc.publish(f"room.chat.{me}", f"You called, {caller}?".encode())


await nc.subscribe("room.chat.*", cb=bot)
