# says: not the right max_connections: with


async def limit_clients(server, most):
    limit = max(most, len(await server.connz.aio()) + 1)
    text = re.sub(r"max_connections: \d+", f"max_connections: {limit}", server.config)
    await server.reload.aio(text)
    return limit
