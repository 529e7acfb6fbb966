from nats.micro.service import EndpointConfig, GroupConfig, ServiceConfig


class Favourites:
    def __init__(self, things):
        self.things = things

    async def list(self, request):
        await request.respond(json.dumps([*self.things]).encode())

    async def get(self, request):
        try:
            await request.respond(self.things[request.data.decode()].encode())
        except KeyError as missing:
            await request.respond_error("404", f"there is no {missing}")

    async def start(self, client):
        config = ServiceConfig(
            name="favourites", version="3.0.0-beta.1", metadata={"owner": "linus", "room": "4"}
        )
        self.service = await nats.micro.add_service(client, config)
        group = self.service.add_group(GroupConfig(name="mine", queue_group="mine"))
        for name in ("list", "get"):
            await group.add_endpoint(EndpointConfig(name=name, handler=getattr(self, name)))


host = await lab.connect(name="host", replace=True)
await Favourites(mine).start(host)
