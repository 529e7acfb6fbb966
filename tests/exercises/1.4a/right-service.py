import nats.micro

megaphone = await lab.connect(name="megaphone", replace=True)
svc = await nats.micro.add_service(megaphone, name="shouter", version="1.0.0")


async def h(req):
    await req.respond(req.data.decode().upper().encode())


await svc.add_endpoint(name="shout", subject="shout", handler=h)
