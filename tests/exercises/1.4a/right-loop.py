megaphone = await lab.connect(name="megaphone", replace=True)
shouts = await megaphone.subscribe("shout")


async def answer_all():
    async for message in shouts.messages:
        await megaphone.publish(message.reply, message.data.upper())


answering = asyncio.create_task(answer_all())
