async def greet(message): ...


client = await lab.connect(name="first")
await client.subscribe("hello", cb=greet)
