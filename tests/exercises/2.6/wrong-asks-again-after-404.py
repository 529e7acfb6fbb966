# says: an error is an answer, so asking again is no use
async def get_favourite(nc, subject, thing):
    for attempt in range(3):
        try:
            answer = await nc.request(subject, thing.encode(), timeout=0.5)
            if answer.headers:
                continue
            return answer.data.decode()
        except (TimeoutError, nats.errors.NoRespondersError):
            if attempt == 2:
                raise
    return None
