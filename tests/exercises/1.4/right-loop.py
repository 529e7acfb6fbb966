pricing = await lab.connect(name="pricing", replace=True)
orders = await pricing.subscribe("price.*")


def answer_to(data):
    try:
        match json.loads(data):
            case {"sku": str(sku), "quantity": int(quantity)} if sku in prices:
                return str(prices[sku] * quantity).encode(), {}
            case {"sku": str(sku), "quantity": int(_)}:
                return b"", {"Nats-Service-Error-Code": "404", "Nats-Service-Error": sku}
    except ValueError:
        pass
    return b"?", {"Nats-Service-Error-Code": "400", "Nats-Service-Error": "no order"}


async def answer_all():
    async for message in orders.messages:
        data, headers = answer_to(message.data)
        await pricing.publish(message.reply, data, headers=headers)


answering = asyncio.create_task(answer_all())
