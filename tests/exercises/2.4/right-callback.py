async def find_instances(nc, name, deadline):
    found = {}

    async def note(message):
        if message.headers is None:
            said = json.loads(message.data)
            found[said["id"]] = said["metadata"]["owner"]

    inbox = nc.new_inbox()
    subscription = await nc.subscribe(inbox, cb=note)
    await nc.publish(f"$SRV.STATS.{name}", reply=inbox)
    await asyncio.sleep(deadline)
    await subscription.unsubscribe()
    return dict(found)
