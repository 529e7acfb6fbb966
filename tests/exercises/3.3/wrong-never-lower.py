# says: not the right max_connections: with


async def limit_clients(server, most):
    limit = max(most, server.monitor("varz")["max_connections"])
    text = re.sub(r"max_connections: \d+", f"max_connections: {limit}", server.config)
    await server.reload.aio(text)
    return limit
