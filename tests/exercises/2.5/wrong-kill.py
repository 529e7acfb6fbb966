# says: Stop the program so that it answers what it has
async def statistics(nc):
    inbox = await nc.subscribe(nc.new_inbox())
    await nc.publish("$SRV.STATS.favourites", reply=inbox.subject)
    await asyncio.sleep(0.4)
    said = [json.loads((await inbox.next_msg()).data) for _ in range(inbox.pending_msgs)]
    await inbox.unsubscribe()
    return said


async def take_out_the_slow(nc, programs):
    times = {
        s["metadata"]["owner"]: max(e["average_processing_time"] for e in s["endpoints"])
        for s in await statistics(nc)
    }
    slow = max(programs, key=lambda owner: times.get(owner, 0))
    programs[slow].kill()
