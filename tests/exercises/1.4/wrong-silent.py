# says: no answer to {"sku": "Z-9", "quantity": 1}, {"sku": "
pricing = await lab.connect(name="pricing", replace=True)


async def total(message):
    order = json.loads(message.data)
    cents = prices[order["sku"]] * order["quantity"]
    await message.respond(str(cents).encode())


await pricing.subscribe("price.total", cb=total)
