# says: the check changed mine, and the answer is from before
host = await lab.connect(name="host", replace=True)


kept = dict(mine)


async def list_mine(request):
    await request.respond(json.dumps(list(kept)).encode())


async def get_mine(request):
    thing = request.data.decode()
    if thing not in kept:
        raise ServiceError("404", f"I have no favourite {thing}")
    await request.respond(kept[thing].encode())


service = await nats.micro.add_service(
    host, name="favourites", version="1.0.0", metadata={"owner": "me"}
)
group = service.add_group(name="mine")
await group.add_endpoint(name="list", handler=list_mine)
await group.add_endpoint(name="get", handler=get_mine)
