# says: the server was started anew


async def limit_clients(server, most):
    limit = max(most, len(await server.connz.aio()))
    text = re.sub(r"max_connections: \d+", f"max_connections: {limit}", server.config)
    await server.reload.aio(text)
    await server.restart.aio()
    return limit
