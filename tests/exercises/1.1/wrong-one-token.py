# says: not delivered: store.eu.berlin.1, store.eu.lisbon.2
eu_stores = await lab.connect(name="eu-stores")
europe = await eu_stores.subscribe("store.eu.*")
