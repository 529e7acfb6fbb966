async def get_favourite(nc, subject, thing):
    inbox = await nc.subscribe(nc.new_inbox())
    try:
        for _ in range(3):
            await nc.publish(subject, thing.encode(), reply=inbox.subject)
            try:
                message = await inbox.next_msg(timeout=0.5)
            except TimeoutError as late:
                error = late
                continue
            if "Nats-Service-Error-Code" in (message.headers or {}):
                return None
            if not message.headers:
                return message.data.decode()
            error = ConnectionError("nobody listens")
        raise error
    finally:
        await inbox.unsubscribe()
