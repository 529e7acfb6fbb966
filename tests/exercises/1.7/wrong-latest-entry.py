# says: is jean's latest entry; the oldest one comes first
for text in [b"one", b"two"]:
    await nc.request(f"room.guestbook.sign.{me}", text, timeout=2)
answer = await nc.request("room.guestbook.guests.jean", timeout=2)
first_entry = json.loads(answer.data)["entries"][-1]
