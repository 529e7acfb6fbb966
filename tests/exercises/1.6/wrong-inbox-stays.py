# says: the server still lists a subscription on your inbox
async def ask_stores(names, deadline):
    inbox = nc.new_inbox()
    replies = await nc.subscribe(inbox)
    await nc.publish("stock.count", reply=inbox)
    answers = {}
    try:
        async with asyncio.timeout(deadline):
            while len(answers) < len(names):
                answer = json.loads((await replies.next_msg(timeout=deadline)).data)
                answers[answer["store"]] = answer["stock"]
    except TimeoutError:
        pass
    return answers, set(names) - answers.keys()
