# says: 2 services have the version 1.1.0, and there must be only one
newer = await lab.connect(name="newer", replace=True)
likes = {"colour": "green", "food": "noodles", "season": "autumn"}
service = await nats.micro.add_service(
    newer, name="favourites", version="1.1.0", metadata={"owner": "ada"}
)


await nats.micro.add_service(newer, name="favourites", version="1.1.0")


async def get_favourite(request):
    thing = request.data.decode()
    if thing not in likes:
        raise ServiceError("404", f"ada has no favourite {thing}")
    await request.respond(likes[thing].encode())


async def count_favourites(request):
    await request.respond(str(len(likes)).encode())


group = service.add_group(name="favourites")
await group.add_endpoint(name="get", handler=get_favourite)
await group.add_endpoint(name="count", handler=count_favourites)
