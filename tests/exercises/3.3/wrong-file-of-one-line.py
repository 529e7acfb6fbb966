# says: config reload not supported for SystemAccount


async def limit_clients(server, most):
    limit = max(most, len(await server.connz.aio()))
    await server.reload.aio(f"max_connections: {limit}")
    return limit
