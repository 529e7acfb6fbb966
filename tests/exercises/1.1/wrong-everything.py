# says: delivered although it is no European store or till: store.us.seattle
eu_stores = await lab.connect(name="eu-stores")
europe = await eu_stores.subscribe("store.>")
