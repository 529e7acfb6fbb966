# says: does megaphone answer each request, or only the first?
megaphone = await lab.connect(name="megaphone", replace=True)
s = await megaphone.subscribe("shout")


async def run():
    m = await s.next_msg(timeout=10)
    await m.respond(m.data.decode().upper().encode())


t = asyncio.create_task(run())
