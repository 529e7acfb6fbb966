"""The long run: ends kernels in every way, in turn, over several topologies, and counts what is left.

Run: python -m tests.servers.end_kernels [ends]. Prints what each way left behind; exits 1 when any
process or folder was left. test_kernel_ends.py is the short run of the same.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections import Counter

from labkit.servers.errors import NotInTimeError
from tests.servers import kernels

TOPOLOGIES = ("single", "cluster", "leaf-nodes")
WAYS = ("interrupt", *kernels.DEADLY)


def end_one(way: str, topology: str) -> list[str]:
    """End a kernel that runs the topology in this way; returns what was left, in words.

    Its guard is warm by then, and has another lab in its care.
    """
    with kernels.kernel() as kernel:
        kernel.run("import labkit; labkit.start({'before': ''}).stop()")
        beside = kernel.start_lab({"beside": ""})
        traces = kernel.start_lab(topology)
        if way == "interrupt":
            kernels.interrupt(kernel)
            kernel.run(
                "nc = await lab.connect(); sub = await nc.subscribe('here')\n"
                "await nc.publish('here', b''); await sub.next_msg(timeout=2)"
            )
        else:
            kernels.DEADLY[way](kernel)
            return _left(traces) + _left(beside)
    return _left(traces) + _left(beside)


def _left(traces: kernels.Traces) -> list[str]:
    try:
        traces.assert_gone()
    except NotInTimeError:
        return traces.left()
    return []


def main(ends: int) -> int:
    done: Counter[str] = Counter()
    left: list[str] = []
    began = time.monotonic()
    pairs = itertools.cycle(itertools.product(WAYS, TOPOLOGIES))
    for number, (way, topology) in enumerate(itertools.islice(pairs, ends), start=1):
        left += [f"{way}, {topology}: {what}" for what in end_one(way, topology)]
        done[way] += 1
        if number % 50 == 0 or number == ends:
            took = time.monotonic() - began
            print(f"{number} ends in {took:.0f} s, left behind: {len(left)}", flush=True)
    print(", ".join(f"{way} {count}" for way, count in done.items()))
    print("\n".join(left))
    return int(bool(left))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else 1000))
