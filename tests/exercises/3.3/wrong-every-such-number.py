# says: it has changed more than max_connections: max_payload


async def limit_clients(server, most):
    limit = max(most, len(await server.connz.aio()))
    before = server.monitor("varz")["max_connections"]
    await server.reload.aio(server.config.replace(f": {before}", f": {limit}"))
    return limit
