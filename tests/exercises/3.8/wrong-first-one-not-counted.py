# says: each service must get
async def round_trips(nc, subjects, count):
    loop, found = asyncio.get_running_loop(), {}
    for subject in subjects:
        times = []
        try:
            await nc.request(subject, timeout=5)  # to warm up
            for _ in range(count):
                began = loop.time()
                await nc.request(subject, timeout=5)
                times.append((loop.time() - began) * 1000)
            found[subject] = statistics.median(times)
        except nats.errors.NoRespondersError:
            found[subject] = None
    return found
