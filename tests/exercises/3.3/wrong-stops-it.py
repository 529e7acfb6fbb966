# says: the server doesn't run any more


async def limit_clients(server, most):
    await server.stop.aio()
    return most
