# says: ask_stores cannot be called as the exercise says
async def ask_stores():
    return {}, set()
