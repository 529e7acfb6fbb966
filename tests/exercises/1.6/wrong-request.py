# says: `request` takes the first answer only
async def ask_stores(names, deadline):
    answer = json.loads((await nc.request("stock.count", timeout=deadline)).data)
    return {answer["store"]: answer["stock"]}, set(names) - {answer["store"]}
