# says: you named none
async def ask_stores(names, deadline):
    inbox = nc.new_inbox()
    replies = await nc.subscribe(inbox)
    await nc.publish("stock.count", reply=inbox)
    answers = {}
    try:
        async with asyncio.timeout(deadline):
            async for message in replies.messages:
                answer = json.loads(message.data)
                answers[answer["store"]] = answer["stock"]
    except TimeoutError:
        pass
    await replies.unsubscribe()
    return answers, set()
