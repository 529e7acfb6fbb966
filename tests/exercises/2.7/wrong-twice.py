# says: the room finds 2 instances of
for _ in range(2):
    await room.lab.run.aio(
        *("favourites.py", "--owner", me, "--prefix", f"seats.{me}.favourites"), server="seat"
    )
