cafe = await lab.connect(name="cafe", replace=True)
me = {"name": "cafe", "id": "by-hand", "version": "1.0.0", "metadata": {}}
told = {"name": "order", "subject": "cafe.order", "queue_group": "q", "num_errors": 0}


async def tell(message):
    kind = message.subject.split(".")[1].lower()
    about = {**me, "type": f"io.nats.micro.v1.{kind}_response", "endpoints": [told]}
    await message.respond(json.dumps(about).encode())


async def fail(message, code, text):
    told["num_errors"] += 1
    headers = {"Nats-Service-Error-Code": code, "Nats-Service-Error": text}
    await cafe.publish(message.reply, headers=headers)


async def order(message):
    try:
        asked = json.loads(message.data)
        dish, count = asked["dish"], int(asked["count"])
    except (ValueError, KeyError, TypeError):
        return await fail(message, "400", "dish? count?")
    if dish not in menu:
        return await fail(message, "404", repr(menu))
    if menu[dish] is None:
        return await fail(message, "500", "sorry")
    return await message.respond(str(menu[dish] * count).encode())


for verb in ("PING", "INFO", "STATS"):
    for subject in (f"$SRV.{verb}", f"$SRV.{verb}.cafe", f"$SRV.{verb}.cafe.by-hand"):
        await cafe.subscribe(subject, cb=tell)
await cafe.subscribe("cafe.order", queue="q", cb=order)
