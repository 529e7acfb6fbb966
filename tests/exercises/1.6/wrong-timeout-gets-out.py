# says: ask_stores raised TimeoutError
async def ask_stores(names, deadline):
    inbox = nc.new_inbox()
    sub = await nc.subscribe(inbox)
    await nc.publish("stock.count", reply=inbox)
    got = {}
    async with asyncio.timeout(deadline):
        while len(got) < len(names):
            m = await sub.next_msg(timeout=deadline)
            a = json.loads(m.data)
            got[a["store"]] = a["stock"]
    await sub.unsubscribe()
    return got, set(names) - got.keys()
