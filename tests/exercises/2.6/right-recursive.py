async def get_favourite(nc, subject, thing, tries=3):
    try:
        answer = await nc.request(subject, thing.encode(), timeout=0.5)
    except nats.errors.Error:
        if tries == 1:
            raise
        return await get_favourite(nc, subject, thing, tries - 1)
    if answer.headers and answer.headers["Nats-Service-Error-Code"] == "404":
        return None
    return answer.data.decode()
