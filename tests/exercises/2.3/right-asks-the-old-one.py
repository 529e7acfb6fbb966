newer = await lab.connect(name="newer", replace=True)
config = nats.micro.ServiceConfig(
    name="favourites", version="1.1.0", description="What Ada likes best, and how much"
)
service = await nats.micro.add_service(newer, config)
likes = {}
for thing in json.loads((await newer.request("favourites.list", timeout=1)).data):
    likes[thing.encode()] = (await newer.request("favourites.get", thing.encode())).data


async def get(request):
    if request.data in likes:
        await request.respond(likes[request.data])
    else:
        await request.respond_error("404", "no")


async def count(request):
    await request.respond(b"%d" % len(likes))


await service.add_endpoint(name="get", subject="favourites.get", handler=get)
await service.add_endpoint(name="count", subject="favourites.count", handler=count, queue_group="c")
