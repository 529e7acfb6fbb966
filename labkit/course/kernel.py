"""What a kernel of the course adds: a sentence under a beginner's first errors.

labkit.course.jupyter has each kernel call `prepare` at its start, so that it also holds after a
restart, before the notebook's first cell has run. Imports next to nothing.
"""

from __future__ import annotations

import re
from types import CoroutineType, TracebackType
from typing import Any

START_LINE = "from labkit.course import kernel; kernel.prepare(); del kernel"

_NOT_AWAITED = "Nothing has happened yet: put `await` in front of the call."
_COROUTINE = re.compile(r"'coroutine'|coroutine object|got coroutine")
_CALLBACK = re.compile(r"must use coroutine|callbacks must be coroutine")
_RUNNING_LOOP = re.compile(r"event loop is already running|from a running event loop")


def prepare() -> None:
    """Let this kernel explain the errors that `advice` knows, and a call without its `await`."""
    from IPython import get_ipython

    shell = get_ipython()
    shell.set_custom_exc((Exception,), _explain)
    text = shell.display_formatter.formatters["text/plain"]
    text.for_type(CoroutineType, lambda it, out, _cycle: out.text(f"{it!r}\n{_NOT_AWAITED}"))


def _explain(
    shell: Any,
    kind: type[BaseException],
    error: Exception,
    trace: TracebackType,
    tb_offset: int | None = None,
) -> None:
    sentence = advice(error, trace)
    if sentence:
        error.add_note(sentence)
    shell.showtraceback((kind, error, trace), tb_offset=tb_offset, running_compiled_code=True)


def advice(error: Exception, trace: TracebackType) -> str:
    """What helps against this error, in a sentence or two; "" where the error speaks for itself.

    The texts looked for are those of nats-py 2.16 and of Python's asyncio.
    """
    text = str(error)
    if isinstance(error, NameError):
        return (
            f"{error.name!r} doesn't exist yet: run the cells above first (Run → Run All Above "
            "Selected Cell), or check the spelling. Restarting the kernel forgets everything."
        )
    if isinstance(error, AttributeError | TypeError) and _COROUTINE.search(text):
        return "An `await` is missing: a coroutine is a call that hasn't run yet."
    if _CALLBACK.search(text):
        return (
            "A callback must be a function defined with `async def`; a plain `def` or a lambda "
            "doesn't work."
        )
    if isinstance(error, RuntimeError) and _RUNNING_LOOP.search(text):
        return (
            "A notebook's event loop is already running: `await` the call right in the cell, or run "
            "`import nest_asyncio2; nest_asyncio2.apply()` first."
        )
    if type(error).__name__ == "ConnectionClosedError":
        return (
            "This client is closed. Stopping a lab, or running its cell again, closes its clients: "
            "run the cell that connects again, too."
        )
    if type(error).__name__ == "BadSubjectError":
        return (
            "A subject is one or more tokens with dots between them, such as store.us.seattle: it has "
            "no spaces, and no token is empty."
        )
    return _payload_advice(trace) if isinstance(error, TypeError) else ""


def _payload_advice(trace: TracebackType) -> str:
    """The sentence for a payload that isn't bytes, where nats-py was handed one."""
    while trace.tb_next:
        trace = trace.tb_next
    frame = trace.tb_frame
    payload = frame.f_locals.get("payload", b"")
    if frame.f_globals.get("__name__", "").startswith("nats.") and not isinstance(
        payload, bytes | bytearray | memoryview
    ):
        return (
            f"NATS sends bytes, and this payload is of type {type(payload).__name__}: write a text "
            'as b"text", or turn it into bytes with text.encode().'
        )
    return ""
