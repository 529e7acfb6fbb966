# says: Ask `list` for what there is
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
    async def row(owner):
        subject, found = f"seats.{owner}.favourites.get", {}
        for thing in ("colour", "food", "season"):
            answer = await nc.request(subject, thing.encode(), timeout=5)
            if not answer.headers:
                found[thing] = answer.data.decode()
        return owner, found

    asking = [asyncio.create_task(row(owner)) for owner in await owners_in(nc)]
    done, late = await asyncio.wait(asking, timeout=deadline - 0.6)
    for task in late:
        task.cancel()
    return dict(task.result() for task in done)
