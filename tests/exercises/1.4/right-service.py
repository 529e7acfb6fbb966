import nats.micro

pricing = await lab.connect(name="pricing", replace=True)
service = await nats.micro.add_service(pricing, name="pricing", version="1.0.0")


async def total(request):
    try:
        order = json.loads(request.data)
        sku, quantity = order["sku"], int(order["quantity"])
    except (ValueError, KeyError, TypeError, OverflowError):
        await request.respond_error("400", "not an order")
    else:
        if sku in prices:
            await request.respond(str(prices[sku] * quantity).encode())
        else:
            await request.respond_error("404", "no such sku")


await service.add_endpoint(name="total", subject="price.total", handler=total)
