# says: not the right max_connections: with


async def limit_clients(server, most):
    limit = max(most, len(await server.connz.aio()))
    await lab["n1"].reload.aio(f"{lab['n1'].config}\nmax_connections: {limit}")
    return limit
