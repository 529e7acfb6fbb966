# says: nothing came from you, although you listen
presence = await nc.subscribe("room.rollcall")
