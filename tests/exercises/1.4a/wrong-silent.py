# says: no answer to any of the 4 requests
megaphone = await lab.connect(name="megaphone", replace=True)


async def shout(message):
    print(message.data.decode().upper())


await megaphone.subscribe("shout", cb=shout)
