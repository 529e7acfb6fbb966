"""How long a server takes until it answers: labkit.start beside the bare binary under the same guard.

Run: python benchmarks/start_single.py [launches]. Prints the medians of launches made in turn and
their ratio; exits 1 when labkit takes more than 1.3 times as long.
"""

from __future__ import annotations

import marshal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import labkit
from labkit.servers import binary, ports
from labkit.servers.probe import read_info
from labkit.servers.processes import GUARD
from labkit.servers.wait import wait_until

LIMIT = 1.3  # times the bare start


def bare_with_guard() -> float:
    """Seconds until the binary, started by nothing but the guard, greets a client."""
    program = binary.find().path
    client, http = ports.free_ports(2)
    folder = Path(tempfile.mkdtemp(prefix="bare-"))
    config = folder / "n1.conf"
    config.write_text(f"server_name: n1\nlisten: 127.0.0.1:{client}\nhttp: 127.0.0.1:{http}\n")
    request = {
        "id": "n1",
        "argv": [program, "-c", str(config)],
        "cwd": str(folder),
        "output": str(folder / "log"),
    }
    began = time.perf_counter()
    guard = subprocess.Popen(
        [sys.executable, "-I", "-S", str(GUARD), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    assert guard.stdin
    guard.stdin.write(marshal.dumps(request))
    guard.stdin.flush()
    wait_until(lambda: read_info(client), 10, "the bare server to answer")
    took = time.perf_counter() - began
    guard.stdin.close()
    guard.wait()
    return took


def with_labkit() -> float:
    """Seconds until labkit.start returns."""
    began = time.perf_counter()
    lab = labkit.start("single")
    took = time.perf_counter() - began
    lab.stop()
    return took


def main(launches: int) -> int:
    bare_with_guard(), with_labkit()  # warm up
    pairs = [(bare_with_guard(), with_labkit()) for _ in range(launches)]
    bare, ours = (statistics.median(column) * 1000 for column in zip(*pairs, strict=True))
    print(f"single server until it answers, median of {launches} launches in turn")
    print(f"  bare binary under the guard  {bare:6.1f} ms")
    print(f'  labkit.start("single")       {ours:6.1f} ms')
    print(f"  ratio                        {ours / bare:6.2f}   (at most {LIMIT})")
    return int(ours / bare > LIMIT)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
