# says: wait until the deadline, and not for the first pause
async def find_instances(nc, name, deadline):
    inbox = await nc.subscribe(nc.new_inbox())
    await nc.publish(f"$SRV.PING.{name}", reply=inbox.subject)
    found = {}
    try:
        while True:
            said = json.loads((await inbox.next_msg(timeout=0.15)).data or "{}")
            if said:
                found[said["id"]] = said["metadata"]["owner"]
    except TimeoutError:
        await inbox.unsubscribe()
        return found
