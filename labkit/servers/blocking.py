"""Awaitable twins: whatever waits for a server has the same call under its name and `.aio`.

`lab.heal()` returns when the links are up, and holds whoever calls it until then: right for a
script and for a test. `await lab.heal.aio()` is the same call in a thread, so that the event loop,
with a notebook's clients on it, goes on meanwhile. There is no twin written by hand: the decorators
here make each from its function.

A twin that is cancelled stops waiting; what it has begun goes on to its end in its thread.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, cast, overload

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
S_contra = TypeVar("S_contra", contravariant=True)

AT_ONCE = 32  # calls that wait side by side; others wait for their turn

_THREADS = ThreadPoolExecutor(AT_ONCE, "labkit-aio")  # starts its threads when they are needed
_CALLER: contextvars.ContextVar[asyncio.AbstractEventLoop] = contextvars.ContextVar("caller")


class Blocking(Protocol[P, R_co]):
    """A function that returns when something has happened, and `aio`, the same to be awaited."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Wait here, and hold the event loop if one runs in this thread."""

    def aio(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:
        """Wait in a thread."""


def blocking(function: Callable[P, R]) -> Blocking[P, R]:
    """Decorate a function that waits: it stays as it is, and `function.aio` is its awaitable twin."""

    async def aio(*args: P.args, **kwargs: P.kwargs) -> R:
        return await _in_thread(functools.partial(function, *args, **kwargs))

    _describe(aio, function)
    function.aio = aio  # type: ignore[attr-defined]
    return cast("Blocking[P, R]", function)


class blocking_method(Generic[S_contra, P, R_co]):
    """Decorate a method that waits: `thing.method.aio(…)` is its awaitable twin."""

    def __init__(self, function: Callable[Concatenate[S_contra, P], R_co]) -> None:
        self._function = function
        functools.update_wrapper(cast("Any", self), function)

    @overload
    def __get__(
        self, thing: None, owner: type[Any]
    ) -> Callable[Concatenate[S_contra, P], R_co]: ...
    @overload
    def __get__(self, thing: S_contra, owner: type[Any]) -> Blocking[P, R_co]: ...
    def __get__(self, thing: Any, owner: type[Any]) -> Any:
        """The method of a thing, a function of its own each time; the plain function of a class."""
        if thing is None:
            return self._function
        bound = cast("Any", self._function).__get__(thing, owner)

        def method(*args: P.args, **kwargs: P.kwargs) -> R_co:
            return cast("R_co", bound(*args, **kwargs))

        functools.update_wrapper(method, bound)
        return blocking(method)


def calling_loop() -> asyncio.AbstractEventLoop | None:
    """The loop from which this code was called, directly or through a twin; None without one."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return _CALLER.get(None)


async def _in_thread(call: Callable[[], R]) -> R:
    """Run a call in a thread of labkit's own: asyncio's are few, and others wait for those."""
    loop = asyncio.get_running_loop()
    context = contextvars.copy_context()
    context.run(_CALLER.set, loop)
    return await loop.run_in_executor(_THREADS, context.run, call)


def _describe(aio: Any, function: Any) -> None:
    functools.update_wrapper(aio, function)
    aio.__qualname__ = f"{function.__qualname__}.aio"
    aio.__doc__ = (
        f"`{function.__name__}`, to be awaited: the event loop goes on while it waits.\n\n"
        f"{inspect.cleandoc(function.__doc__ or '')}"
    )
