# says: you published to room.chat; your own subject is room.chat.newcomer
async def bot(message):
    caller = message.subject.split(".")[2]
    if me in message.data.decode():
        await nc.publish("room.chat", f"You called, {caller}?".encode())


await nc.subscribe("room.chat.*", cb=bot)
