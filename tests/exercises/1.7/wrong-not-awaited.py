# says: put `await` in front of nc.request
for text in [b"one", b"two"]:
    await nc.request(f"room.guestbook.sign.{me}", text, timeout=2)
first_entry = nc.request("room.guestbook.guests.jean", timeout=2)
