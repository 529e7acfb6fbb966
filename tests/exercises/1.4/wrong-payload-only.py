# says: got b'error 404' without headers
pricing = await lab.connect(name="pricing", replace=True)


async def total(message):
    try:
        order = json.loads(message.data)
        answer = str(prices[order["sku"]] * order["quantity"])
    except KeyError:
        answer = "error 404"
    except (ValueError, TypeError):
        answer = "error 400"
    await message.respond(answer.encode())


await pricing.subscribe("price.total", cb=total)
