# says: first_entry is a Msg, not a text
for text in [b"one", b"two"]:
    await nc.request(f"room.guestbook.sign.{me}", text, timeout=2)
first_entry = await nc.request("room.guestbook.guests.jean", timeout=2)
