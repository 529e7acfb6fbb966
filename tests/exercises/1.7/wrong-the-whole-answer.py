# says: take one entry, the text itself
for text in [b"one", b"two"]:
    await nc.request(f"room.guestbook.sign.{me}", text, timeout=2)
first_entry = json.loads((await nc.request("room.guestbook.guests.jean", timeout=2)).data)
