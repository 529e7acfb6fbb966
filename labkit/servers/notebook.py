"""What a lab needs from a notebook: whether it runs in one, and a kernel that can be interrupted."""

from __future__ import annotations

import asyncio
import sys
import weakref

TICK = 0.2  # seconds

_TICKERS: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[None]] = (
    weakref.WeakKeyDictionary()
)


def interactive() -> bool:
    """Whether this code runs in a notebook's kernel or another IPython shell."""
    shell = sys.modules.get("IPython")
    return shell is not None and shell.get_ipython() is not None


def prepare() -> None:
    """Keep the kernel's event loop ticking, once a loop.

    Without something that wakes the loop, an interrupt reaches a cell that awaits only when the
    cell ends by itself (seen with ipykernel 7.4).
    """
    if not interactive():
        return
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return
    if loop not in _TICKERS:
        _TICKERS[loop] = loop.create_task(_tick(), name="labkit ticker")


async def _tick() -> None:
    while True:
        await asyncio.sleep(TICK)
