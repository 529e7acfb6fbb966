# says: first_entry is still empty
first_entry = ...
for text in [b"one", b"two"]:
    await nc.request(f"room.guestbook.sign.{me}", text, timeout=2)
