# says: a request that isn't an order must get the headers
pricing = await lab.connect(name="pricing", replace=True)


async def total(message):
    try:
        order = json.loads(message.data)
        await message.respond(str(prices[order["sku"]] * order["quantity"]).encode())
    except (KeyError, ValueError, TypeError) as error:
        headers = {"Nats-Service-Error-Code": "404", "Nats-Service-Error": repr(error)}
        await pricing.publish(message.reply, headers=headers)


await pricing.subscribe("price.total", cb=total)
