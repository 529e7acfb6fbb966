# says: upper and lower case are different
first = await lab.connect(name="first")
greetings = await first.subscribe("Hello")
