other = await room.connect(name="bot")
lines = await other.subscribe("room.chat.>")


async def answer_calls():
    async for line in lines.messages:
        caller = line.subject.removeprefix("room.chat.")
        if me.encode() in line.data and caller != me:
            await other.publish("room.chat." + me, b"Hello " + caller.encode() + b", here I am")


answering = asyncio.create_task(answer_calls())
