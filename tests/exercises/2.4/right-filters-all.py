async def find_instances(nc, name, deadline):
    box = await nc.subscribe("me." + nc.new_inbox())
    found = {}
    try:
        async with asyncio.timeout(deadline):
            await nc.publish("$SRV.INFO", reply=box.subject)
            async for message in box.messages:
                said = json.loads(message.data or b"{}")
                if said.get("name") == name:
                    found[said["id"]] = said["metadata"]["owner"]
    except TimeoutError:
        pass
    await box.unsubscribe()
    return found
