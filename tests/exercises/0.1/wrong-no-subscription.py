# says: it listens to nothing; call subscribe on this client
first = await lab.connect(name="first")
