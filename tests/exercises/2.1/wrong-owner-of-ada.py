# says: its owner is ada, who runs the other favourites service
host = await lab.connect(name="host", replace=True)


async def list_mine(request):
    await request.respond(json.dumps(list(mine)).encode())


async def get_mine(request):
    thing = request.data.decode()
    if thing not in mine:
        raise ServiceError("404", f"I have no favourite {thing}")
    await request.respond(mine[thing].encode())


service = await nats.micro.add_service(
    host, name="favourites", version="1.0.0", metadata={"owner": "ada"}
)
group = service.add_group(name="mine")
await group.add_endpoint(name="list", handler=list_mine)
await group.add_endpoint(name="get", handler=get_mine)
