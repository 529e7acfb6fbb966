# says: That's a cid, and the name is wanted


async def suspects(server):
    clients = (await server.connz.aio()).set_index("cid")
    return {
        "messages": int(clients["in_msgs"].idxmax()),
        "bytes": int(clients["in_bytes"].idxmax()),
        "subscriptions": int(clients["subscriptions"].idxmax()),
        "slow": int(clients["pending_bytes"].idxmax()),
    }
