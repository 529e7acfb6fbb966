# says: That client received most


async def suspects(server):
    clients = (await server.connz.aio()).set_index("name")
    return {
        "messages": clients["out_msgs"].idxmax(),
        "bytes": clients["in_bytes"].idxmax(),
        "subscriptions": clients["subscriptions"].idxmax(),
        "slow": clients["pending_bytes"].idxmax(),
    }
