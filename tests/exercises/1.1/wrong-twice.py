# says: delivered more than once
eu_stores = await lab.connect(name="eu-stores")
europe = await eu_stores.subscribe("store.eu.>")
again = await eu_stores.subscribe("store.eu.*")
