# says: it also answers requests on
megaphone = await lab.connect(name="megaphone", replace=True)


async def shout(message):
    await message.respond(message.data.upper())


await megaphone.subscribe(">", cb=shout)
