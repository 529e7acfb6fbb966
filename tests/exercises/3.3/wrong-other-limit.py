# says: config reload not supported for MaxSubs


async def limit_clients(server, most):
    limit = max(most, len(await server.connz.aio()))
    await server.reload.aio(f"{server.config}\nmax_subscriptions: {limit}")
    return limit
