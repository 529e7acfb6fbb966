# says: The order was right; is a `try` around too much?
cafe = await lab.connect(name="cafe", replace=True)
service = await nats.micro.add_service(cafe, name="cafe", version="1.0.0")


async def order(request):
    try:
        asked = json.loads(request.data)
        if asked["dish"] not in menu:
            raise ServiceError("404", f"there is {', '.join(menu)}")
        total = menu[asked["dish"]] * int(asked["count"])
    except (ValueError, KeyError, TypeError):
        raise ServiceError("400", "an order has a dish and a count") from None
    await request.respond(str(total).encode())


await service.add_endpoint(name="order", subject="cafe.order", handler=order)
