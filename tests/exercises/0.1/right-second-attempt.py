first = await lab.connect(name="first")
greetings = await first.subscribe("helo")

first = await lab.connect(name="first")
greetings = await first.subscribe("hello")
