# says: you also subscribed to dept.>
eu_stores = await lab.connect(name="eu-stores")
await eu_stores.subscribe("store.eu.>")
await eu_stores.subscribe("dept.>")
