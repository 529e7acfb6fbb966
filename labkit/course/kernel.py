"""What a kernel of the course has more than others: a sentence for a name that is not there yet.

labkit.course.jupyter has each kernel call `prepare` at its start, so that it also holds after a
restart, before the notebook's first cell has run. Imports next to nothing.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

START_LINE = "from labkit.course import kernel; kernel.prepare(); del kernel"


def prepare() -> None:
    """Let this kernel explain a NameError."""
    from IPython import get_ipython

    get_ipython().set_custom_exc((NameError,), _explain)


def _explain(
    shell: Any,
    kind: type[BaseException],
    error: NameError,
    trace: TracebackType,
    tb_offset: int | None = None,
) -> None:
    error.add_note(
        f"{error.name!r} is not there yet: run the cells above first (Run → Run All Above Selected "
        "Cell). After a restart of the kernel nothing of before is left."
    )
    shell.showtraceback((kind, error, trace), tb_offset=tb_offset)
