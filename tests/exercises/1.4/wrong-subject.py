# says: It listens on price
async def total(message):
    await message.respond(b"24360")


await pricing.subscribe("price", cb=total)
