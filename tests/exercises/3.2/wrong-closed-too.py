# says: That client isn't connected any more


async def suspects(server):
    clients = (await server.connz.aio(state="all")).set_index("name")
    return {
        "messages": clients["in_msgs"].idxmax(),
        "bytes": clients["in_bytes"].idxmax(),
        "subscriptions": clients["subscriptions"].idxmax(),
        "slow": clients["pending_bytes"].idxmax(),
    }
