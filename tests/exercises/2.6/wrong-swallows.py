# says: nobody ever answered, and it returned None
async def get_favourite(nc, subject, thing):
    for _ in range(3):
        try:
            answer = await nc.request(subject, thing.encode(), timeout=0.5)
        except (TimeoutError, nats.errors.NoRespondersError):
            continue
        return None if answer.headers else answer.data.decode()
    return None
