"""What `labkit.start` does in a notebook only: a cell that runs again replaces its lab, and can be interrupted."""

from __future__ import annotations

import asyncio
import sys
import weakref

from labkit.servers import topology
from labkit.servers.blocking import calling_loop

TICK = 0.2  # seconds

_TICKERS: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[None]] = (
    weakref.WeakKeyDictionary()
)


def make_way(name: str) -> None:
    """In a notebook, end the lab of this name that a cell run earlier has started; else do nothing."""
    if not interactive():
        return
    if loop := calling_loop():
        loop.call_soon_threadsafe(_keep_ticking, loop)
    for lab in topology.running():
        if lab.topology == name:
            lab.stop()
            print(f"The lab {name!r} that ran already is stopped; a new one takes its place.")


def interactive() -> bool:
    """Whether this code runs in a notebook's kernel or another IPython shell."""
    shell = sys.modules.get("IPython")
    return shell is not None and shell.get_ipython() is not None


def _keep_ticking(loop: asyncio.AbstractEventLoop) -> None:
    """Let the kernel's event loop tick from now on, once a loop.

    Without something that wakes the loop, an interrupt reaches a cell that awaits only when the
    cell ends by itself (seen with ipykernel 7.4).
    """
    if loop not in _TICKERS:
        _TICKERS[loop] = loop.create_task(_tick(), name="labkit ticker")


async def _tick() -> None:
    while True:
        await asyncio.sleep(TICK)
