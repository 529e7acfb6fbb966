"""The favourites service is a program of its own: short, and at home in any terminal."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import pytest

import labkit
from labkit.course import notebooks

FAVOURITES = notebooks.find("21").with_name("favourites.py")


def test_it_is_read_on_one_screen_of_a_notebook():
    lines = FAVOURITES.read_text("utf-8").splitlines()
    assert len(lines) <= 62
    assert max(map(len, lines)) <= 90, "a longer line wraps"


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is no signal there")
async def test_by_hand_it_serves_until_ctrl_c_and_answers_what_has_arrived():
    async with labkit.start("single") as lab:
        nc = await lab.connect()
        command = [sys.executable, "-u", str(FAVOURITES), "--owner", "grace", "--slow", "0.01"]
        program = subprocess.Popen(
            command,
            env={**os.environ, "NATS_URL": lab["n1"].url},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert program.stdout
        first = await asyncio.to_thread(program.stdout.readline)
        assert first.startswith("favourites 1.0.0 of grace is ready")
        requests = [
            asyncio.create_task(nc.request("favourites.get", b"food", timeout=5)) for _ in range(30)
        ]
        await requests[0]  # by now all of them are written
        await nc.flush()  # and have arrived
        program.send_signal(signal.SIGINT)
        answers = await asyncio.gather(*requests)
        assert {answer.data for answer in answers} == {b"noodles"}
        rest, _ = await asyncio.to_thread(program.communicate, timeout=10)
        assert (rest, program.returncode) == ("", 0)
