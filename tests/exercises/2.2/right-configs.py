from nats.micro.service import EndpointConfig, GroupConfig, ServiceConfig


class Cafe:
    def __init__(self, prices):
        self.prices = prices

    def total(self, data):
        asked = self.read(data)
        if asked["dish"] not in self.prices:
            raise ServiceError(code="404", description=f"menu: {list(self.prices)}")
        if self.prices[asked["dish"]] is None:
            raise ValueError("no price")
        return self.prices[asked["dish"]] * int(asked["count"])

    def read(self, data):
        try:
            asked = dict(json.loads(data))
            int(asked["count"]), asked["dish"]
        except Exception as error:
            raise ServiceError("400", f"{error!r}: wanted are dish, count") from error
        return asked

    async def order(self, request):
        await request.respond(str(self.total(request.data)).encode())


cafe = await lab.connect(name="cafe", replace=True)
config = ServiceConfig(name="cafe", version="2.0.0", queue_group="waiters", metadata={"a": "b"})
service = await nats.micro.add_service(cafe, config)
group = service.add_group(GroupConfig(name="cafe"))
await group.add_endpoint(EndpointConfig(name="order", handler=Cafe(menu).order))
