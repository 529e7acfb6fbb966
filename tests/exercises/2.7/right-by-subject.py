import nats.micro

likes = {"tea": "green", "tool": "grep", "bird": "wren"}
config = nats.micro.ServiceConfig(
    name="favourites", version="3.2.1", description="mine", metadata={"owner": me, "team": "a"}
)
service = await nats.micro.add_service(await room.connect(name="mine"), config)


async def answer(request):
    thing = request.data.decode()
    if request.subject.endswith("list"):
        await request.respond(json.dumps(sorted(likes)).encode())
    elif thing in likes:
        await request.respond(likes[thing].encode())
    else:
        await request.respond_error("404", "not there")


for name in ("list", "get"):
    subject = f"seats.{me}.favourites.{name}"
    await service.add_endpoint(name=name, subject=subject, handler=answer)
