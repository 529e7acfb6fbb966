# says: no answer to
cafe = await lab.connect(name="cafe", replace=True)
service = await nats.micro.add_service(cafe, name="cafe", version="1.0.0")


async def order(request):
    try:
        asked = json.loads(request.data)
        await request.respond(str(menu[asked["dish"]] * int(asked["count"])).encode())
    except KeyError as missing:
        raise ServiceError("404", f"no {missing}; there is {', '.join(menu)}") from None
    except Exception as error:  # noqa: BLE001
        print(error)


await service.add_endpoint(name="order", subject="cafe.order", handler=order)
