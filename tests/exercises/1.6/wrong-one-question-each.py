# says: the stores heard 5 questions
async def ask_stores(names, deadline):
    answers = {}

    async def ask():
        answer = json.loads((await nc.request("stock.count", timeout=deadline)).data)
        answers[answer["store"]] = answer["stock"]

    await asyncio.gather(*(ask() for _ in names), return_exceptions=True)
    return answers, set(names) - answers.keys()
