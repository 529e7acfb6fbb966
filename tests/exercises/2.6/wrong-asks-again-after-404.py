# says: an error is an answer, so there's no point in asking again
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
