# says: There is one deadline for all of the waiting
async def find_instances(nc, name, deadline):
    inbox = await nc.subscribe(nc.new_inbox())
    await nc.publish(f"$SRV.PING.{name}", reply=inbox.subject)
    found = {}
    try:
        while True:
            message = await inbox.next_msg(timeout=deadline + 0.2)
            if message.data:
                said = json.loads(message.data)
                found[said["id"]] = said["metadata"]["owner"]
    except TimeoutError:
        await inbox.unsubscribe()
        return found
