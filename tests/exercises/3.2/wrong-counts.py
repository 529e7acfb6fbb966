# says: That isn't a name


async def suspects(server):
    clients = await server.connz.aio()
    return {
        "messages": clients["in_msgs"].max() * 1000,
        "bytes": clients["in_bytes"].max(),
        "subscriptions": clients["subscriptions"].max() * 1000,
        "slow": clients["pending_bytes"].max(),
    }
