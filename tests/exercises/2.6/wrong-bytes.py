# says: and noodles is the answer, as text
async def get_favourite(nc, subject, thing):
    for attempt in range(3):
        try:
            answer = await nc.request(subject, thing.encode(), timeout=0.5)
        except (TimeoutError, nats.errors.NoRespondersError):
            if attempt == 2:
                raise
            continue
        return None if answer.headers else answer.data
    return None
