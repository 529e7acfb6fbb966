import time


async def round_trips(nc, subjects, count):
    async def one(subject):
        times = []
        for _ in range(count):
            began = time.monotonic_ns()
            try:
                await nc.request(subject, b"", timeout=10)
            except nats.errors.NoRespondersError:
                return None
            times.append(time.monotonic_ns() - began)
        return sorted(times)[count // 2] / 1e6

    return dict(zip(subjects, await asyncio.gather(*map(one, subjects)), strict=True))
