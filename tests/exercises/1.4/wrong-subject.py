# says: pricing listens on price, so it hears nothing on price.total
pricing = await lab.connect(name="pricing", replace=True)


async def total(message):
    await message.respond(b"24360")


await pricing.subscribe("price", cb=total)
