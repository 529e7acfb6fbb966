# says: it also delivers store.us.seattle
eu_stores = await lab.connect(name="eu-stores")
europe = await eu_stores.subscribe("store.>")
