# says: an instance was killed, and a call failed
async def get_favourite(nc, subject, thing):
    answer = await nc.request(subject, thing.encode(), timeout=0.5)
    if (answer.headers or {}).get("Nats-Service-Error-Code") == "404":
        return None
    return answer.data.decode()
