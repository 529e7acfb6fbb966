host = await lab.connect(name="host", replace=True)


def endpoint(answer):
    async def handler(request):
        text = answer(request.data.decode())
        if text is None:
            raise ServiceError("404", "no such thing")
        await request.respond(text.encode())

    return handler


async with asyncio.timeout(5):
    service = await nats.micro.add_service(
        host, name="favourites", version="1.1.0", metadata={"owner": "Ada L."}, queue_group="f"
    )
    handlers = {
        "list": endpoint(lambda _: json.dumps(list(mine.keys()))),
        "get": endpoint(mine.get),
    }
    for name, handler in handlers.items():
        await service.add_endpoint(name=name, subject=f"mine.{name}", handler=handler)
