async def ask_stores(names, deadline):
    answers, everybody = {}, asyncio.Event()

    async def note(message):
        answer = json.loads(message.data)
        answers[answer["store"]] = answer["stock"]
        if answers.keys() >= set(names):
            everybody.set()

    replies = await nc.subscribe("my.answers", cb=note)
    await nc.publish("stock.count", b"all of it", reply="my.answers")
    await asyncio.wait([asyncio.create_task(everybody.wait())], timeout=deadline)
    await replies.unsubscribe()
    return dict(answers), [name for name in names if name not in answers]
