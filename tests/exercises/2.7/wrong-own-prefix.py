# says: its subjects must be seats.
await room.lab.run.aio("favourites.py", "--owner", me, "--prefix", f"seats.{me}", server="seat")
