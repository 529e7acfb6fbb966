# says: does a callback, or a task, take the messages while other cells run?
readings = await collector.subscribe("metrics.*.cpu")
