host = await lab.connect(name="host", replace=True)
me = {"name": "favourites", "id": "hand-1", "version": "0.1.0", "metadata": {"owner": "grace"}}
told = [{"name": n, "subject": f"mine.{n}", "queue_group": "q"} for n in ("list", "get")]


async def tell(message):
    kind = message.subject.split(".")[1].lower()
    about = {**me, "type": f"io.nats.micro.v1.{kind}_response", "endpoints": told}
    await message.respond(json.dumps(about).encode())


async def answer(message):
    data, headers = b"", None
    if message.subject == "mine.list":
        data = json.dumps(sorted(mine, reverse=True)).encode()
    elif (thing := message.data.decode()) in mine:
        data = mine[thing].encode()
    else:
        headers = {"Nats-Service-Error-Code": "404", "Nats-Service-Error": "?"}
    await host.publish(message.reply, data, headers=headers)


for verb in ("PING", "INFO", "STATS"):
    for subject in (f"$SRV.{verb}", f"$SRV.{verb}.favourites", f"$SRV.{verb}.favourites.hand-1"):
        await host.subscribe(subject, cb=tell)
await host.subscribe("mine.list", queue="q", cb=answer)
await host.subscribe("mine.get", queue="q", cb=answer)
