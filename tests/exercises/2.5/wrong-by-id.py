# says: take_out_the_slow raised KeyError
async def statistics(nc):
    inbox = await nc.subscribe(nc.new_inbox())
    await nc.publish("$SRV.STATS.favourites", reply=inbox.subject)
    await asyncio.sleep(0.4)
    said = [json.loads((await inbox.next_msg()).data) for _ in range(inbox.pending_msgs)]
    await inbox.unsubscribe()
    return said


async def take_out_the_slow(nc, programs):
    times = {
        s["id"]: max(e["average_processing_time"] for e in s["endpoints"])
        for s in await statistics(nc)
    }
    await programs[max(times, key=times.get)].stop.aio()
