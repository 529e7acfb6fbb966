# says: no answer to any of the 4 requests
megaphone = await lab.connect(name="megaphone", replace=True)


async def shout(message):
    await megaphone.publish("answers.for.me", message.data.decode().upper().encode())


await megaphone.subscribe("shout", cb=shout)
