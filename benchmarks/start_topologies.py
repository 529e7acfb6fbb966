"""How long topologies take until usable: labkit.start beside bare processes started from a shell.

Run: python benchmarks/start_topologies.py [rounds]. Both wait for the same conditions (those of
labkit.servers.readiness) on the same files, in turn. Prints medians in seconds and their ratio;
exits 1 when a ratio is above its limit. The supercluster's time is that of its gateways and of the
election of a leader, which nats-server spreads at random over seconds: take more rounds for it.
"""

from __future__ import annotations

import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import labkit
from labkit.servers import binary, placement, ports, readiness
from labkit.servers.processes import Process
from labkit.servers.server import Server
from labkit.servers.topology import find

HUB = "leafnodes { listen: 127.0.0.1:7422 }\nlisten: 127.0.0.1:4222"
LEAF = "leafnodes { remotes: [ { url: nats-leaf://127.0.0.1:7422 } ] }"
TOPOLOGIES: dict[str, tuple[str | Mapping[str, str], float]] = {
    "cluster, R3 stream accepted": ("cluster", 1.15),
    "hub and 20 leaves": ({"hub": HUB} | {f"leaf-{n}": LEAF for n in range(20)}, 1.5),
    "supercluster 3x2": ("supercluster", 1.5),
}
TIMEOUT = 30.0  # seconds


def bare(topology: str | Mapping[str, str]) -> float:
    """Seconds until the topology is usable when a shell starts the binaries side by side."""
    _, _, files = find(topology)
    planned = placement.plan(files)
    folder = Path(tempfile.mkdtemp(prefix="bare-"))
    literal = sorted(placement.literal_ports(planned))
    free = ports.free_ports(len(literal) + 2 * len(planned))
    spare = iter(free[len(literal) :])
    for server in planned:
        placement.place(server, folder, dict(zip(literal, free, strict=False)), spare)
    program = binary.find()
    lines = [f"{shlex.quote(program.path)} -c {server.config_path} &" for server in planned]
    began = time.perf_counter()
    shell = subprocess.Popen(["sh", "-c", "\n".join([*lines, "wait"])], process_group=0)
    servers = {server.name: Server(server, program, None) for server in planned}  # type: ignore[arg-type]
    for server in servers.values():
        server._process = Process(server.name, pid=shell.pid)
    readiness.wait_usable(servers, TIMEOUT)
    took = time.perf_counter() - began
    subprocess.run(["pkill", "-9", "-g", str(shell.pid)], check=False)
    shell.wait()
    shutil.rmtree(folder)
    return took


def with_labkit(topology: str | Mapping[str, str]) -> float:
    """Seconds until labkit.start returns."""
    began = time.perf_counter()
    with labkit.start(topology, timeout=TIMEOUT):
        return time.perf_counter() - began


def main(rounds: int) -> int:
    slow = 0
    print(f"seconds until usable, medians of {rounds} rounds in turn")
    for name, (topology, limit) in TOPOLOGIES.items():
        pairs = [(bare(topology), with_labkit(topology)) for _ in range(rounds)]
        shell, ours = (statistics.median(column) for column in zip(*pairs, strict=True))
        slow += ours / shell > limit
        print(
            f"  {name:28} bare {shell:6.2f}   labkit {ours:6.2f}   "
            f"ratio {ours / shell:5.2f}   (at most {limit})"
        )
    return int(bool(slow))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 9))
