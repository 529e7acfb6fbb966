# says: must return a dictionary with the keys


async def suspects(server):
    clients = (await server.connz.aio()).set_index("name")
    return [clients[c].idxmax() for c in ("in_msgs", "in_bytes", "subscriptions", "pending_bytes")]
