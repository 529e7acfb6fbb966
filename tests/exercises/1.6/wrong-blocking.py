# says: no question had reached the stores
async def ask_stores(names, deadline):
    inbox = nc.new_inbox()
    sub = await nc.subscribe(inbox)
    await nc.publish("stock.count", reply=inbox)
    time.sleep(deadline)
    got = {}
    while sub.pending_msgs:
        m = await sub.next_msg(timeout=1)
        a = json.loads(m.data)
        got[a["store"]] = a["stock"]
    await sub.unsubscribe()
    return got, set(names) - got.keys()
