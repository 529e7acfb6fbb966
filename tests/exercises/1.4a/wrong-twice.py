# says: more than one answer
megaphone = await lab.connect(name="megaphone", replace=True)


async def shout(message):
    await message.respond(message.data.upper())


for _ in range(2):
    await megaphone.subscribe("shout", cb=shout)
