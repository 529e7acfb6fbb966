# says: pricing has 2 subscriptions, and each answers
pricing = await lab.connect(name="pricing", replace=True)


async def total(message):
    await message.respond(b"24360")


for _ in range(2):
    await pricing.subscribe("price.total", cb=total)
