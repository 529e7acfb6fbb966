# says: these answers aren't the request's words in capital letters
megaphone = await lab.connect(name="megaphone", replace=True)


async def shout(message):
    await message.respond(message.data.swapcase())


await megaphone.subscribe("shout", cb=shout)
