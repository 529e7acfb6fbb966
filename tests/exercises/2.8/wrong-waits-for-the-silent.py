# says: it came back after
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
    owners = sorted(await owners_in(nc))
    rows = await asyncio.gather(*(row_of(nc, o) for o in owners), return_exceptions=True)
    return {o: row for o, row in zip(owners, rows, strict=False) if isinstance(row, dict)}
