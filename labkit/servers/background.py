"""One thread with an event loop of its own, for what goes on while cells run or block the kernel's loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from labkit.servers.errors import NotInTimeError

T = TypeVar("T")

_thread: threading.Thread | None = None
_loop: asyncio.AbstractEventLoop
_starting = threading.Lock()


def loop() -> asyncio.AbstractEventLoop:
    """The loop of the thread, started when first asked for. A daemon: it ends with the process."""
    global _thread, _loop
    with _starting:
        if _thread is None or not _thread.is_alive():
            _loop = asyncio.new_event_loop()
            _thread = threading.Thread(
                target=_loop.run_forever, name="labkit background", daemon=True
            )
            _thread.start()
    return _loop


def run(work: Coroutine[Any, Any, T], timeout: float, what: str) -> T:
    """Run a coroutine there and return what it returns. Raises NotInTimeError after `timeout` seconds."""
    future = asyncio.run_coroutine_threadsafe(work, loop())
    try:
        return future.result(timeout)
    except concurrent.futures.TimeoutError:
        raise NotInTimeError(f"waited {timeout:g} s for {what}, in vain") from None
    finally:
        future.cancel()  # also when this wait is interrupted


def ask(function: Callable[[], T], timeout: float = 5.0) -> T:
    """Call a function on the thread, so that it reads nothing that changes meanwhile."""

    async def call() -> T:
        return function()

    return run(call(), timeout, "the thread in the background")
