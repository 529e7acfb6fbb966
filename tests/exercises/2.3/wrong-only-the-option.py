# says: favourites.count must get one answer, the number of colour, food, season; it got none
newer = await lab.run.aio("favourites.py", "--owner", "ada", "--version", "1.1.0")
# then the first cells again
