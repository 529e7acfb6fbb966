# says: is that the mean, or the largest?
import time


async def round_trips(nc, subjects, count):
    medians = {}
    for subject in subjects:
        times = []
        try:
            for _ in range(count):
                began = time.perf_counter()
                await nc.request(subject, timeout=5)
                times.append(time.perf_counter() - began)
        except nats.errors.NoRespondersError:
            medians[subject] = None
        else:
            medians[subject] = statistics.mean(times) * 1000
    return medians
