megaphone = await lab.connect(name="megaphone", replace=True)


async def louder(request):
    words = str(request.data, "utf-8")
    await request.respond(bytes(words.upper(), "utf-8"))


await megaphone.subscribe("shout", queue="megaphones", cb=louder)
