async def suspects(server):
    orders = {
        "messages": "msgs_from",
        "bytes": "bytes_from",
        "subscriptions": "subs",
        "slow": "pending",
    }
    return {key: server.connz(sort=order).iloc[0]["name"] for key, order in orders.items()}
