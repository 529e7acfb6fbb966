# says: "messages" is wrong


async def suspects(server):
    clients = (await server.connz.aio()).set_index("name")
    return {
        "messages": clients.query("subscriptions == 0")["in_msgs"].idxmin(),
        "bytes": clients["in_bytes"].idxmax(),
        "subscriptions": clients["subscriptions"].idxmax(),
        "slow": clients["pending_bytes"].idxmax(),
    }
