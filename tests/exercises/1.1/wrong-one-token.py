# says: a till is one token deeper than its store
eu_stores = await lab.connect(name="eu-stores")
europe = await eu_stores.subscribe("store.eu.*")
