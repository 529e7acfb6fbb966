"""Calls a function that somebody else wrote: bounded in time, whatever it is, raises or returns."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import inspect
import json
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

CALL_TIMEOUT = 10.0  # seconds for a function to come back
HELD_TIMEOUT = 5.0  # seconds for which it may hold the event loop, then it is interrupted


@dataclass(frozen=True)
class Called:
    """How a call of the learner's function ended: its value, or the problem, after so many seconds."""

    value: Any
    problem: str
    took: float


async def call(name: str, function: Callable[..., Awaitable[Any]], *arguments: Any) -> Called:
    """Call the learner's function in the notebook's loop, for 10 s at most, whatever it does."""
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError as misfit:  # not the parameters that it is called with
        return Called(None, f"{name} cannot be called as the exercise says: {misfit}", 0.0)

    async def guarded() -> Any:
        try:
            value = function(*arguments)
            if inspect.isawaitable(value):
                return await value
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit) as end:
            if given_up:  # cancelled from here
                raise
            ended = f"raised {type(end).__name__}"
            raise _EndedError(ended) from end  # else it ends check or kernel
        kind = f"an object of type {type(value).__name__}"
        raise _EndedError(f"returned {kind} at once: write it with `async def`, without `yield`")

    began, given_up = time.monotonic(), False
    with _interrupted_when_held():
        task = asyncio.ensure_future(guarded())
        await asyncio.wait({task}, timeout=CALL_TIMEOUT)
        if given_up := not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=1)
    if given_up:
        waits = f"{name} did not return within {CALL_TIMEOUT:g} s; what does it wait for?"
        return Called(None, waits, CALL_TIMEOUT)
    error, took = task.exception(), time.monotonic() - began
    return Called(None, _told(name, error), took) if error else Called(task.result(), "", took)


class _EndedError(Exception):
    """Says how the learner's function ended, where it returned no value and raised no plain exception."""


def _told(name: str, error: BaseException) -> str:
    """What the learner's function raised, on one line and not too long."""
    raised = "" if isinstance(error, _EndedError) else f"raised {type(error).__name__}: "
    text = " ".join(f"{name} {raised}{error}".split())[:300].removesuffix(":")
    empty = isinstance(error, json.JSONDecodeError) and not error.doc
    nobody = ". It read an empty message: that is how the server answers where nobody listens"
    return text + nobody if empty else text


class HeldError(Exception):
    """Raised inside code that has held the event loop for too long."""


@contextlib.contextmanager
def _interrupted_when_held() -> Iterator[None]:
    """Meanwhile, raise HeldError in whatever holds the main thread's event loop for 5 s.

    An alarm that a task puts off again and again; without one (Windows) such a call cannot be ended.
    """
    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def held(*_: object) -> None:
        raise HeldError(f"it held the event loop for {HELD_TIMEOUT:g} s, without an await")

    async def put_off() -> None:
        while True:
            signal.setitimer(signal.ITIMER_REAL, HELD_TIMEOUT)
            await asyncio.sleep(HELD_TIMEOUT / 10)

    left, _ = signal.getitimer(signal.ITIMER_REAL)
    before, task = signal.signal(signal.SIGALRM, held), asyncio.ensure_future(put_off())
    try:
        yield
    finally:
        task.cancel()
        signal.setitimer(signal.ITIMER_REAL, left)
        signal.signal(signal.SIGALRM, before)


async def call_in_thread(
    name: str, function: Callable[..., Any], *arguments: Any, limit: float
) -> Called:
    """Call the learner's plain function beside the event loop, for `limit` seconds at most.

    In a daemon thread: one that never ends must not keep the kernel from ending, and is told to.
    """
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    ended, began = [], time.perf_counter()

    def run() -> None:
        try:
            value, problem = function(*arguments), ""
        except BaseException as error:  # noqa: BLE001 - whatever it raises is told to the learner
            value, problem = None, _told(name, error)
        ended.append(Called(value, problem, time.perf_counter() - began))
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(done.set)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        await asyncio.wait_for(done.wait(), limit)
    except TimeoutError:
        ident = ctypes.c_ulong(thread.ident or 0)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(SystemExit))
        waits = "does it loop for ever, or wait for answers that the server does not give?"
        return Called(None, f"{name} did not return within {limit:g} s; {waits}", limit)
    return ended[0]
