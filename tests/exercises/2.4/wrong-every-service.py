# says: put the name in the subject
async def find_instances(nc, name, deadline):
    inbox = await nc.subscribe(nc.new_inbox())
    await nc.publish("$SRV.PING", reply=inbox.subject)
    await asyncio.sleep(deadline)
    found = {}
    while inbox.pending_msgs:
        said = json.loads((await inbox.next_msg()).data)
        found[said["id"]] = said["metadata"].get("owner")
    await inbox.unsubscribe()
    return found
