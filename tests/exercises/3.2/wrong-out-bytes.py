# says: "bytes" is wrong


async def suspects(server):
    clients = (await server.connz.aio()).set_index("name")
    return {
        "messages": clients["in_msgs"].idxmax(),
        "bytes": clients["out_bytes"].idxmax(),
        "subscriptions": clients["subscriptions"].idxmax(),
        "slow": clients["pending_bytes"].idxmax(),
    }
