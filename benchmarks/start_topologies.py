"""How long topologies take until usable: labkit.start beside bare processes started from a shell.

Run: python benchmarks/start_topologies.py [rounds] [nats.py's checkout]. Both wait for the same
conditions (those of labkit.servers.readiness) on the same files, in turn. Prints medians in seconds
and their ratio; exits 1 when a ratio is above its limit. nats-server spreads elections at random,
in a cluster over 0.1 to 0.8 s, so that medians of few rounds tell nothing of it: without a number
of rounds each topology gets its own, and the run takes about five minutes.

With a checkout of https://github.com/nats-io/nats.py, the `run_cluster` of its server package (not
on PyPI as of 2026) is measured too, until its cluster takes the same stream of three replicas.
"""

from __future__ import annotations

import asyncio
import importlib.util
import math
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import labkit
from labkit.servers import binary, placement, ports, readiness
from labkit.servers.folders import locate, read_files
from labkit.servers.processes import Process
from labkit.servers.server import ServerProcess
from labkit.servers.wait import wait_until

RunCluster = Callable[..., Awaitable[Any]]

HUB = "leafnodes { listen: 127.0.0.1:7422 }\nlisten: 127.0.0.1:4222"
LEAF = "leafnodes { remotes: [ { url: nats-leaf://127.0.0.1:7422 } ] }"
# What to start, the highest ratio, the rounds.
TOPOLOGIES: dict[str, tuple[str | Mapping[str, str], float, int]] = {
    "cluster, R3 stream accepted": ("cluster", 1.15, 101),
    "hub and 20 leaves": ({"hub": HUB} | {f"leaf-{n}": LEAF for n in range(20)}, 1.5, 41),
    "supercluster 3x2": ("supercluster", 1.5, 11),
}
TIMEOUT = 30.0  # seconds


def bare(topology: str | Mapping[str, str]) -> float:
    """Seconds until the topology is usable when a shell starts the binaries side by side."""
    where = topology if isinstance(topology, Mapping) else locate(topology)[1]
    planned = placement.plan(read_files(where))
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
    servers = {p.name: ServerProcess(p, program, None) for p in planned}  # type: ignore[arg-type]
    for launched in servers.values():
        launched._process = Process(server.name, pid=shell.pid)
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


def load_run_cluster(checkout: Path) -> RunCluster:
    """`run_cluster` out of a checkout of nats.py, beside the nats-py that is installed."""
    path = checkout / "nats-server" / "src" / "nats" / "server" / "__init__.py"
    spec = importlib.util.spec_from_file_location("nats_server_package", path)
    if spec is None or spec.loader is None or not path.exists():
        sys.exit(f"there is no {path}; give the folder of a checkout of nats.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    os.environ["PATH"] = f"{Path(binary.find().path).parent}{os.pathsep}{os.environ['PATH']}"
    return module.run_cluster  # type: ignore[no-any-return]


async def with_nats_py(run_cluster: RunCluster) -> float:
    """Seconds until a cluster of three by nats.py's package takes a stream of three replicas."""
    with tempfile.TemporaryDirectory(prefix="nats-py-", ignore_cleanup_errors=True) as store:
        began = time.perf_counter()
        cluster = await run_cluster(jetstream=True, store_dir=store)
        try:
            port = cluster.servers[0].port
            wait_until(lambda: readiness.takes_stream(port, "cluster", 3, {}), TIMEOUT, "R3 stream")
            return time.perf_counter() - began
        finally:
            await cluster.shutdown()


def measure(
    topology: str | Mapping[str, str], run_cluster: RunCluster | None
) -> tuple[float, float, float]:
    """One round: seconds of bare processes, of labkit, of nats.py (NaN where it is not asked)."""
    other = asyncio.run(with_nats_py(run_cluster)) if run_cluster else math.nan
    return bare(topology), with_labkit(topology), other


def main(rounds: int | None, checkout: Path | None) -> int:
    slow = 0
    run_cluster = load_run_cluster(checkout) if checkout else None
    print("seconds until usable, medians of rounds in turn", flush=True)
    for name, (topology, limit, enough) in TOPOLOGIES.items():
        beside = run_cluster if topology == "cluster" else None
        measured = [measure(topology, beside) for _ in range(rounds or enough)]
        shell, ours, theirs = (statistics.median(column) for column in zip(*measured, strict=True))
        slow += ours / shell > limit
        print(
            f"  {name:28} bare {shell:6.2f}   labkit {ours:6.2f}   "
            f"ratio {ours / shell:5.2f}   (at most {limit}; {rounds or enough} rounds)"
            + (f"   nats.py {theirs:6.2f}" if beside else ""),
            flush=True,
        )
    return int(bool(slow))


if __name__ == "__main__":
    sys.exit(
        main(
            int(sys.argv[1]) if len(sys.argv) > 1 else None,
            Path(sys.argv[2]) if len(sys.argv) > 2 else None,
        )
    )
