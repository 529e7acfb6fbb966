# says: clients lost their connection, when it was called with most=


async def limit_clients(server, most):
    text = re.sub(r"max_connections: \d+", f"max_connections: {most}", server.config)
    await server.reload.aio(text)
    return most
