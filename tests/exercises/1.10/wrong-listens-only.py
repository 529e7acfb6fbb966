# says: and you said nothing within half a second
chatting = await nc.subscribe("room.chat.*")
