# says: get has no answer for shoes
import nats.micro
from nats.micro.service import ServiceError

likes = {"colour": "blue", "food": "pizza"}
service = await nats.micro.add_service(
    nc, name="favourites", version="0.1.0", metadata={"owner": me}
)


async def list_mine(request):
    await request.respond(json.dumps([*likes, "shoes"]).encode())


async def get_mine(request):
    thing = request.data.decode()
    if thing not in likes:
        raise ServiceError("404", f"no {thing}")
    await request.respond(likes[thing].encode())


group = service.add_group(name=f"seats.{me}.favourites")
await group.add_endpoint(name="list", handler=list_mine)
await group.add_endpoint(name="get", handler=get_mine)
