# says: all that newcomer has written so far is
await nc.request(f"room.guestbook.sign.{me}", b"Hello!", timeout=2)
answer = await nc.request("room.guestbook.guests.jean", timeout=2)
first_entry = json.loads(answer.data)["entries"][0]
