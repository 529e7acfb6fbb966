# says: your function must return None
async def get_favourite(nc, subject, thing):
    for attempt in range(3):
        try:
            answer = await nc.request(subject, thing.encode(), timeout=0.5)
            return answer.data.decode()
        except (TimeoutError, nats.errors.NoRespondersError):
            if attempt == 2:
                raise
    return None
