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
    owners, table = await owners_in(nc), {}

    async def fill(owner):
        try:
            async with asyncio.timeout(deadline - 0.7):
                table[owner] = await row_of(nc, owner)
        except TimeoutError:
            pass

    async with asyncio.TaskGroup() as group:
        for owner in owners:
            group.create_task(fill(owner))
    return table
