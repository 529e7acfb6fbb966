"""Many starts and ends: side by side, and with servers killed at random.

LABKIT_ROUNDS sets how often: twice as many starts in each of 4 processes, five times as many kills.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import labkit
from labkit.servers.wait import wait_until
from tests.rounds import ROUNDS

STARTS = 2 * ROUNDS
KILLS = 5 * ROUNDS
PROCESSES = 4

SCRIPT = """
import random, sys, labkit
names = ["single", "jetstream", "leaf-nodes", "accounts", "domains", "cluster"]
for number in range(int(sys.argv[1])):
    with labkit.start(random.choice(names)) as lab:
        assert all(server.state == "running" for server in lab.values())
print("done")
"""


def test_processes_start_and_stop_topologies_side_by_side(own_temp: Path):
    environment = {**os.environ, "TMPDIR": str(own_temp), "TEMP": str(own_temp)}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(STARTS)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(PROCESSES)
    ]
    for process in running:
        out, err = process.communicate(timeout=280)
        assert out == "done\n", err


async def test_a_server_killed_at_random_comes_back_with_its_data(own_temp: Path):
    chosen = random.Random(1)
    with labkit.start("cluster") as lab:
        nc = await lab.connect()
        js = nc.jetstream()
        await js.add_stream(name="S", subjects=["s"], num_replicas=3)
        await nc.close()
        for _ in range(KILLS):
            name = chosen.choice(list(lab))
            lab[name].kill()
            lab[name].start()
            others = set(lab) - {name}
            wait_until(lambda: others <= peers(lab, name), 15, f"{name} to be back")  # noqa: B023
        wait_until(lambda: replicas(lab) == 3, 30, "the stream on all three servers")


def peers(lab: labkit.Lab, name: str) -> set[str]:
    return {route.get("remote_name") for route in lab[name].monitor("routez").get("routes") or []}


def replicas(lab: labkit.Lab) -> int:
    """On how many servers the stream is there and current."""
    return sum(server.monitor("jsz").get("streams", 0) == 1 for server in lab.values())
