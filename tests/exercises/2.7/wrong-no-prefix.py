# says: its subjects must be seats.
await room.lab.run.aio("favourites.py", "--owner", me, server="seat")
