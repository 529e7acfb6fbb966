text = (
    Path("favourites.py")
    .read_text()
    .replace(
        "    await nc.flush()",
        """
    async def count(request):
        await request.respond(b"%d" % len(FAVOURITES))

    await group.add_endpoint(name="how_many", subject="count", handler=count)
    await nc.flush()""",
    )
)
file = lab.folder / "favourites_2.py"
file.write_text(text)
newer = await lab.run.aio(file, "--version", "1.1.0", "--owner", "ada")
# then the first cells again
