# says: came out of order
import random

collector = await lab.connect(name="collector")


async def later(message):
    await asyncio.sleep(random.random() / 10)
    host = message.subject.split(".")[1]
    await collector.publish("dashboard", f"{host} {message.data.decode()}".encode())


tasks = []


async def forward(message):
    tasks.append(asyncio.create_task(later(message)))


await collector.subscribe("metrics.*.cpu", cb=forward)
