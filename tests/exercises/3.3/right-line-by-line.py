async def limit_clients(server, most):
    connected = (await server.varz.aio()).iloc[0]["connections"]
    limit = int(connected if connected > most else most)
    lines = server.config.splitlines()
    for number, line in enumerate(lines):
        if line.startswith("max_connections"):
            lines[number] = f"max_connections: {limit}"
    await server.reload.aio("\n".join(lines))
    return limit
