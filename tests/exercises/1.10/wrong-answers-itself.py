# says: does your bot answer itself?
async def bot(message):
    caller = message.subject.split(".")[2]
    if me in message.data.decode():
        await asyncio.sleep(0.01)  # or nobody else in this kernel gets a word in
        await nc.publish(f"room.chat.{me}", f"{me}: you called, {caller}?".encode())


await nc.subscribe("room.chat.*", cb=bot)
