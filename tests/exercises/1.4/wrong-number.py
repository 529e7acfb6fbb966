# says: A payload is bytes: text.encode()
pricing = await lab.connect(name="pricing", replace=True)


async def total(message):
    await message.respond(24360)


await pricing.subscribe("price.total", cb=total)
