# says: "messages" is wrong


async def suspects(server):
    clients = (await lab["n1"].connz.aio()).set_index("name")
    return {
        "messages": clients["in_msgs"].idxmax(),
        "bytes": clients["in_bytes"].idxmax(),
        "subscriptions": clients["subscriptions"].idxmax(),
        "slow": clients["pending_bytes"].idxmax(),
    }
