# says: does a callback, or a task, take the messages while other cells run, and is there an `await`
collector = await lab.connect(name="collector", replace=True)
readings = await collector.subscribe("metrics.*.cpu")
