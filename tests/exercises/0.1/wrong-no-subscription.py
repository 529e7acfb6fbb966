# says: it listens to nothing; is there an `await` in front of its subscribe?
first = await lab.connect(name="first")
