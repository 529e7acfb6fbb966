# says: an error with code 404 is wanted
import nats.micro

likes = {"colour": "blue", "food": "pizza"}
service = await nats.micro.add_service(
    nc, name="favourites", version="0.1.0", metadata={"owner": me}
)


async def list_mine(request):
    await request.respond(json.dumps([*likes]).encode())


async def get_mine(request):
    thing = request.data.decode()
    likes.setdefault(thing, "none")
    await request.respond(likes[thing].encode())


group = service.add_group(name=f"seats.{me}.favourites")
await group.add_endpoint(name="list", handler=list_mine)
await group.add_endpoint(name="get", handler=get_mine)
