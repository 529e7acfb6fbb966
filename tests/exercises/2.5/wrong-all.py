# says: the others should go on
async def statistics(nc):
    inbox = await nc.subscribe(nc.new_inbox())
    await nc.publish("$SRV.STATS.favourites", reply=inbox.subject)
    await asyncio.sleep(0.4)
    said = [json.loads((await inbox.next_msg()).data) for _ in range(inbox.pending_msgs)]
    await inbox.unsubscribe()
    return said


async def take_out_the_slow(nc, programs):
    for program in programs.values():
        program.stop()
