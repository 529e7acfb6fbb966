me = "somebody-else"
inbox = nc.new_inbox()
replies = await nc.subscribe(inbox)
for text in ("first", "second"):
    await nc.publish("room.guestbook.sign.somebody-else", text.encode(), reply=inbox)
    await replies.next_msg(timeout=2)
await nc.publish("room.guestbook.guests.jean", reply=inbox)
first_entry = json.loads((await replies.next_msg(timeout=2)).data)["entries"][0].encode()
