# says: A payload is bytes: text.encode()
async def total(message):
    await message.respond(24360)


await pricing.subscribe("price.total", cb=total)
