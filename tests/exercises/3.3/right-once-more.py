async def limit_clients(server, most):
    limit = max(most, server.monitor("varz")["connections"])
    server.reload(f"{server.config}\nmax_connections: {limit}\n")  # the last one counts
    return limit
