# says: not the right max_connections: with


async def limit_clients(server, most):
    limit = max(most, len(await server.connz.aio()))
    text = re.sub(r"max_connections: \d+", f"max_connections: {limit}", server.config)
    server.reload.aio(text)
    return limit
