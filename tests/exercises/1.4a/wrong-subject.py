# says: megaphone listens on shouts, so it hears nothing on shout
megaphone = await lab.connect(name="megaphone", replace=True)


async def shout(message):
    await message.respond(message.data.upper())


await megaphone.subscribe("shouts", cb=shout)
