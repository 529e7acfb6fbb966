# says: sign twice, with two different texts
for _ in range(2):
    await nc.request(f"room.guestbook.sign.{me}", b"Hello", timeout=2)
first_entry = json.loads((await nc.request("room.guestbook.guests.jean", timeout=2)).data)[
    "entries"
][0]
