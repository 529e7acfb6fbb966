"""How long a server takes until it answers: labkit.start beside the bare binary, which nothing guards.

Run: python benchmarks/start_single.py [rounds]. In each round, in turn: the bare binary with the same
settings, the first start of a process (which starts its guard too), and a later one. Prints the medians
and their ratios; exits 1 when a later start takes more than 1.5 times as long as the bare binary.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import labkit
from labkit.servers import binary, warm_guard
from labkit.servers.probe import read_info
from labkit.servers.wait import wait_until

LIMIT = 1.5  # times the bare start, for a later start


def bare(folder: Path, port: int) -> float:
    """Seconds from the launch of the binary until it greets a client."""
    with (folder / "printed").open("w") as printed:
        began = time.perf_counter()
        server = subprocess.Popen(
            [binary.find().path, "-c", str(folder / "n1.conf")], stdout=printed, stderr=printed
        )
    wait_until(lambda: read_info(port), 10, "the bare server to answer")
    took = time.perf_counter() - began
    server.kill()
    server.wait()
    return took


def with_labkit() -> float:
    """Seconds until labkit.start returns."""
    began = time.perf_counter()
    lab = labkit.start("single")
    took = time.perf_counter() - began
    lab.stop()
    return took


def settings(folder: Path) -> int:
    """Write into `folder` what labkit gives its server; returns the client port."""
    with labkit.start("single") as lab:
        text = lab["n1"].planned.config_path.read_text("utf-8")
        (folder / "n1.conf").write_text(text.replace(str(lab.folder), str(folder)), "utf-8")
        return lab["n1"].planned.addresses["client"]


def one_round(folder: Path, port: int) -> tuple[float, float, float]:
    """Seconds of a bare start, of a first one with labkit and of a later one."""
    warm_guard.end_all()
    return bare(folder, port), with_labkit(), with_labkit()


def main(rounds: int) -> int:
    folder = Path(tempfile.mkdtemp(prefix="bare-"))
    try:
        port = settings(folder)
        one_round(folder, port)  # warm up
        times = [one_round(folder, port) for _ in range(rounds)]
    finally:
        shutil.rmtree(folder)
    alone, first, later = (statistics.median(column) * 1000 for column in zip(*times, strict=True))
    print(f"single server until it answers, median of {rounds} rounds")
    print(f"  bare binary, not guarded           {alone:6.1f} ms")
    print(f'  labkit.start("single"), the first  {first:6.1f} ms  {first / alone:5.2f} times')
    print(
        f"  labkit.start, each later one       {later:6.1f} ms  {later / alone:5.2f} times "
        f"(at most {LIMIT})"
    )
    return int(later / alone > LIMIT)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
