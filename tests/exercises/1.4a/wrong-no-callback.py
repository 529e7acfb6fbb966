# says: no answer to any of the 4 requests
megaphone = await lab.connect(name="megaphone", replace=True)


shouting = await megaphone.subscribe("shout")
