# says: Does each wait start it again?
async def ask_stores(names, deadline):
    inbox = nc.new_inbox()
    replies = await nc.subscribe(inbox)
    await nc.publish("stock.count", reply=inbox)
    answers = {}
    while len(answers) < len(names):
        try:
            answer = json.loads((await replies.next_msg(timeout=deadline)).data)
        except TimeoutError:
            break
        answers[answer["store"]] = answer["stock"]
    await replies.unsubscribe()
    return answers, set(names) - answers.keys()
