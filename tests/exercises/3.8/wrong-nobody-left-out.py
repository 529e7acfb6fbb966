# says: must return a dictionary with each subject that it was given
async def round_trips(nc, subjects, count):
    loop, found = asyncio.get_running_loop(), {}
    for subject in subjects:
        times = []
        for _ in range(count):
            began = loop.time()
            try:
                await nc.request(subject, timeout=5)
                times.append((loop.time() - began) * 1000)
            except nats.errors.NoRespondersError:
                break
        if times:
            found[subject] = statistics.median(times)
    return found
