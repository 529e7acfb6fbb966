me = "somebody"
other = await room.connect(name="somebody")
calls = await other.subscribe("room.*")


async def answer_all():
    async for call in calls.messages:
        if call.subject == "room.rollcall":
            await other.publish(call.reply, b"somebody")


answering = asyncio.create_task(answer_all())
