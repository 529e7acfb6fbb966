# says: ask one after the other
async def round_trips(nc, subjects, count):
    loop = asyncio.get_running_loop()

    async def ask(subject):
        began = loop.time()
        try:
            await nc.request(subject, timeout=5)
        except nats.errors.NoRespondersError:
            return None
        return (loop.time() - began) * 1000

    found = {}
    for subject in subjects:
        times = await asyncio.gather(*(ask(subject) for _ in range(count)))
        found[subject] = None if None in times else statistics.median(times)
    return found
