# says: somebody else answers on price.total too: service
pricing = await lab.connect(name="pricing", replace=True)


async def total(message):
    await message.respond(b"24360")


for client in (pricing, service):
    await client.subscribe("price.total", cb=total)
