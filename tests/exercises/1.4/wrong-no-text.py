# says: an unknown sku must get the headers Nats-Service-Error and Nats-Service-Error-Code: 404
pricing = await lab.connect(name="pricing", replace=True)


async def total(message):
    headers, answer = {}, b""
    try:
        order = json.loads(message.data)
        answer = str(prices[order["sku"]] * int(order["quantity"])).encode()
    except (KeyError, ValueError, TypeError) as error:
        unknown = isinstance(error, KeyError) and "sku" not in str(error)
        headers = {"Nats-Service-Error-Code": "404" if unknown else "400"}
    await pricing.publish(message.reply, answer, headers=headers)


await pricing.subscribe("price.total", cb=total)
