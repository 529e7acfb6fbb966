# says: not the words that came, in capital letters
megaphone = await lab.connect(name="megaphone", replace=True)


async def shout(message):
    await message.respond(message.data.swapcase())


await megaphone.subscribe("shout", cb=shout)
