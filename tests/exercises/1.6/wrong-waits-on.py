# says: every store had answered at once, and still it waited
async def ask_stores(names, deadline):
    answers = {}

    async def note(message):
        answer = json.loads(message.data)
        answers[answer["store"]] = answer["stock"]

    inbox = nc.new_inbox()
    replies = await nc.subscribe(inbox, cb=note)
    await nc.publish("stock.count", reply=inbox)
    await asyncio.sleep(deadline)
    await replies.unsubscribe()
    return answers, set(names) - answers.keys()
