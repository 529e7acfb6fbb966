# says: "slow" is wrong


async def suspects(server):
    clients = (await server.connz.aio()).set_index("name")
    return {
        "messages": clients["in_msgs"].idxmax(),
        "bytes": clients["in_bytes"].idxmax(),
        "subscriptions": clients["subscriptions"].idxmax(),
        "slow": clients["in_msgs"].idxmin(),
    }
