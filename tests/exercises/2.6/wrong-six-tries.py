# says: nobody ever answered, and it asked 6 times
async def get_favourite(nc, subject, thing):
    for attempt in range(6):
        try:
            answer = await nc.request(subject, thing.encode(), timeout=0.3)
        except (TimeoutError, nats.errors.NoRespondersError):
            if attempt == 5:
                raise
            continue
        return None if answer.headers else answer.data.decode()
    return None
