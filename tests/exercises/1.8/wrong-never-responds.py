# says: nothing came from you
presence = await nc.subscribe("room.rollcall")
