async def suspects(server):
    page = await server.monitor.aio("connz", limit=10_000)

    def most(key):
        return max(page["connections"], key=lambda connection: connection[key])["name"]

    return {
        "messages": most("in_msgs"),
        "bytes": most("in_bytes"),
        "subscriptions": most("subscriptions"),
        "slow": most("pending_bytes"),
    }
