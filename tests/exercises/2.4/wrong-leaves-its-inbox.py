# says: the server still lists a subscription on your inbox
async def find_instances(nc, name, deadline):
    inbox = await nc.subscribe(nc.new_inbox())
    await nc.publish(f"$SRV.PING.{name}", reply=inbox.subject)
    await asyncio.sleep(deadline)
    found = {}
    while inbox.pending_msgs:
        if data := (await inbox.next_msg()).data:
            said = json.loads(data)
            found[said["id"]] = said["metadata"]["owner"]
    return found
