client = await lab.connect(name="eu-stores")
stores = await client.subscribe("store.eu.*")
tills = await client.subscribe("store.eu.*.*")
