# says: a payload must be bytes: text.encode()
cafe = await lab.connect(name="cafe", replace=True)
service = await nats.micro.add_service(cafe, name="cafe", version="1.0.0")


async def order(request):
    try:
        asked = json.loads(request.data)
        dish, count = asked["dish"], int(asked["count"])
    except (ValueError, KeyError, TypeError):
        raise ServiceError("400", "bad request") from None
    if dish not in menu:
        raise ServiceError("404", f"there is {', '.join(menu)}")
    if menu[dish] is None:
        raise ServiceError("500", f"we forgot the price of {dish}")
    await request.respond(str(menu[dish] * count))


await service.add_endpoint(name="order", subject="cafe.order", handler=order)
