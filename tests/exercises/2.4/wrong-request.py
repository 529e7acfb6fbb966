# says: it found one of 5 instances: `request` takes the first answer only
async def find_instances(nc, name, deadline):
    try:
        answer = await nc.request(f"$SRV.PING.{name}", timeout=deadline)
    except nats.errors.NoRespondersError:
        return {}
    said = json.loads(answer.data)
    return {said["id"]: said["metadata"]["owner"]}
