# says: your question came without a reply subject
async def ask_stores(names, deadline):
    inbox = nc.new_inbox()
    sub = await nc.subscribe(inbox)
    await nc.publish("stock.count")
    got = {}
    try:
        async with asyncio.timeout(deadline):
            while len(got) < len(names):
                a = json.loads((await sub.next_msg(timeout=deadline)).data)
                got[a["store"]] = a["stock"]
    except TimeoutError:
        pass
    await sub.unsubscribe()
    return got, set(names) - got.keys()
