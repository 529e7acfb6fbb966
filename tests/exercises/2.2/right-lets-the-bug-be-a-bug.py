cafe = await lab.connect(name="cafe", replace=True)
FORM = "send JSON with a 'dish' and a whole 'count'"


class Refused(ServiceError):
    pass


def parsed(data):
    try:
        match json.loads(data):
            case {"dish": dish, "count": count}:
                return dish, int(count)
    except (ValueError, TypeError):
        pass
    raise Refused("400", FORM)


async def order(request):
    dish, count = parsed(request.data)
    if dish not in menu:
        raise Refused("404", "Not on the menu. We have: " + " / ".join(sorted(menu)))
    total = menu[dish] * count  # TypeError where there is no price: that is a 500
    await request.respond(b"%d" % total)


async with asyncio.timeout(5):
    service = await nats.micro.add_service(cafe, name="cafe", version="0.0.1")
    await service.add_group(name="cafe").add_endpoint(name="order", handler=order)
