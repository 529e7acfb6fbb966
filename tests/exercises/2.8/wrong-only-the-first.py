# says: `request` takes the first answer only
async def owners_in(nc):
    inbox = await nc.subscribe(nc.new_inbox())
    await nc.publish("$SRV.PING.favourites", reply=inbox.subject)
    await asyncio.sleep(0.5)
    found = set()
    while inbox.pending_msgs:
        found.add(json.loads((await inbox.next_msg()).data)["metadata"]["owner"])
    await inbox.unsubscribe()
    return found


async def row_of(nc, owner):
    subject = f"seats.{owner}.favourites"
    things = json.loads((await nc.request(f"{subject}.list", timeout=5)).data)
    return {
        thing: (await nc.request(f"{subject}.get", thing.encode(), timeout=5)).data.decode()
        for thing in things
    }


async def room_favourites(nc, deadline):
    said = json.loads((await nc.request("$SRV.PING.favourites", timeout=1)).data)
    owner = said["metadata"]["owner"]
    try:
        async with asyncio.timeout(deadline / 2):
            return {owner: await row_of(nc, owner)}
    except TimeoutError:
        return {}
