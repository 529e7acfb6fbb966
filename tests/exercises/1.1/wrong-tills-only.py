# says: a store is one token shorter than its tills
eu_stores = await lab.connect(name="eu-stores")
await eu_stores.subscribe("store.eu.*.*")
