# says: it listens to nothing
first = await lab.connect(name="first")
