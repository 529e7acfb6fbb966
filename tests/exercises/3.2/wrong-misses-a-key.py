# says: must return a dictionary with the keys


async def suspects(server):
    clients = (await server.connz.aio()).set_index("name")
    return {"messages": clients["in_msgs"].idxmax(), "bytes": clients["in_bytes"].idxmax()}
