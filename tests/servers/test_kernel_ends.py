"""Whatever ends a kernel, its servers, their guard and their files are gone; an interrupt spares them.

Each end is tried LABKIT_ROUNDS times, on the topologies in turn.
"""

from __future__ import annotations

import itertools

import pytest

from tests.rounds import ROUNDS
from tests.servers import kernels

TOPOLOGIES = list(itertools.islice(itertools.cycle(["single", "cluster", "leaf-nodes"]), ROUNDS))


@pytest.mark.parametrize("end", [end for end in kernels.DEADLY if end != "restart"])
def test_a_lab_ends_with_its_kernel(end: str) -> None:
    for topology in TOPOLOGIES:
        with kernels.kernel() as kernel:
            traces = kernel.start_lab(topology)
            assert traces.left(), "the lab must be there before its kernel ends"
            kernels.DEADLY[end](kernel)
            traces.assert_gone()


def test_a_lab_ends_when_its_kernel_is_restarted() -> None:
    with kernels.kernel() as kernel:
        for topology in TOPOLOGIES:
            traces = kernel.start_lab(topology)
            assert traces.left(), "the lab must be there before its kernel restarts"
            kernels.restart(kernel)
            traces.assert_gone()


def test_a_cell_that_is_run_again_replaces_the_lab_it_had_started() -> None:
    with kernels.kernel() as kernel:
        first = kernel.start_lab()
        said = kernel.run("lab = labkit.start('single')")
        assert said == "The lab 'single' that ran already is stopped; a new one takes its place.\n"
        first.without_guard().assert_gone()
        assert kernel.run("print(len(labkit.running()), lab['n1'].state)") == "1 running\n"


def test_an_interrupt_leaves_server_and_notebook_usable() -> None:
    with kernels.kernel() as kernel:
        traces = kernel.start_lab()
        kernel.run("nc = await lab.connect()")
        for number in range(ROUNDS):
            kernels.interrupt(kernel)
            heard = kernel.run(
                "sub = await nc.subscribe('still.there')\n"
                f"await nc.publish('still.there', b'{number}')\n"
                "print((await sub.next_msg(timeout=2)).data.decode(), lab['n1'].state)\n"
                "await sub.unsubscribe()"
            )
            assert heard == f"{number} running\n"
    traces.assert_gone()
