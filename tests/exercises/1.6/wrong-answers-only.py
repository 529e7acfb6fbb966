# says: return two things
async def ask_stores(names, deadline):
    return {}
