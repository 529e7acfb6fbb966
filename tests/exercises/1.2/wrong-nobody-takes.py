# says: does a callback or a task handle the messages, and is there an `await`
collector = await lab.connect(name="collector", replace=True)
readings = await collector.subscribe("metrics.*.cpu")
