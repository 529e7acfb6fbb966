# says: {"sku": "A-7", "quantity": "2"} got the headers
pricing = await lab.connect(name="pricing", replace=True)


async def total(message):
    try:
        order = json.loads(message.data)
        sku, quantity = order["sku"], order["quantity"]
    except (ValueError, KeyError, TypeError):
        await refuse(message, "400", "not an order")
        return
    if not isinstance(quantity, int):
        await refuse(message, "400", "not a number")
    elif sku not in prices:
        await refuse(message, "404", "no such sku")
    else:
        await message.respond(str(prices[sku] * quantity).encode())


await pricing.subscribe("price.total", cb=total)
