# says: no answer to any of the 4 requests
megaphone = await lab.connect(name="megaphone", replace=True)


async def shout(message):
    message.respond(message.data.decode().upper().encode())


await megaphone.subscribe("shout", cb=shout)
