"""Views that move: an output of their own that is redrawn while other cells run.

In a notebook a view shows itself when it is made and moves until it is stopped, its client is
closed, or the kernel ends. Where outputs are stored and compared (nbval, `labkit notebooks`) or
there is no notebook, it shows nothing by itself. Everywhere the view, as the last line of a cell,
shows its table as it is now, without times.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import sys
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from labkit.servers import background
from labkit.servers.errors import NotInTimeError
from labkit.views import second_connection
from labkit.views.second_connection import Source, ViewError
from labkit.views.table import Table

if TYPE_CHECKING:
    import nats.aio.client

REDRAW = 0.25  # seconds: at most 4 redraws a second
OPEN_TIMEOUT = second_connection.CONNECT_TIMEOUT + 5.0  # seconds, to connect and subscribe
BARRIER_TIMEOUT = 2.0  # seconds for the server to hand over what it holds, at stop()
STATIC = "LABKIT_STATIC"  # in the environment of a kernel whose outputs are stored

_SHOWN: weakref.WeakValueDictionary[tuple[int, str, str], Live] = weakref.WeakValueDictionary()


def moves() -> bool:
    """Whether a view may redraw itself: in a kernel whose outputs nobody stores and compares."""
    if STATIC in os.environ or "PYTEST_CURRENT_TEST" in os.environ:
        return False
    module = sys.modules.get("IPython")
    return module is not None and hasattr(module.get_ipython(), "kernel")


class Live:
    """A view with a connection of its own, on a thread of its own. Its parts are in the subclasses."""

    def __init__(self, source: Source, what: str) -> None:
        self._source, self._what = source, what
        self._client: nats.aio.client.Client | None = None
        self._handle: Any = None
        self._born_in = 0  # the number of the cell that made it
        self._drawn = ""
        self.redraws = 0
        self.reconnects = 0
        self.problems: list[str] = []
        self.stopped = False

    # --- what a subclass gives

    def _new_client(self) -> nats.aio.client.Client:
        """What becomes the view's connection."""
        from labkit.servers.client import Client

        return Client()

    async def _begin(self, client: nats.aio.client.Client) -> None:
        """Subscribe, or ask for the first time."""

    async def _tick(self) -> None:
        """What is to be done before each redraw."""

    async def _take_the_rest(self) -> None:
        """What the server has for this view until now, before it ends."""

    def table(self) -> Table:
        """The table as it is now, without what differs from run to run."""
        raise NotImplementedError

    def _moving_table(self) -> Table:
        """The table with times and rates."""
        raise NotImplementedError

    def _lasting_table(self) -> Table:
        """What stays on the page: `table`, and what need not be the same in the next run."""
        return self.table()

    # --- its life

    def open(self) -> Self:
        """Connect, begin, and show itself where it may move. Raises ViewError."""
        options = second_connection.options_of(self._source)
        background.run(self._open(options), OPEN_TIMEOUT, f"{self._what} to begin")
        if moves():
            self._replace_earlier()
            self._show()
        self._redrawing = asyncio.run_coroutine_threadsafe(self._live(), background.loop())
        self._redrawing.add_done_callback(self._say_why_it_ended)
        return self

    async def _open(self, options: dict[str, Any]) -> None:
        whose = second_connection.name_of(self._source)
        client = await second_connection.connect(
            self._new_client(),
            options,
            whose,
            name=f"labkit {self._what}",
            error_cb=self._on_error,
            reconnected_cb=self._on_reconnect,
        )
        try:
            await self._begin(client)
            if self.problems:
                raise ViewError(f"{self._what}: the server refuses it, {self.problems[-1]}")
        except BaseException:
            await second_connection.close(client)
            raise
        self._client = client

    async def _on_error(self, error: Exception) -> None:
        if "permissions" in str(error).lower():
            self._tell(str(error).removeprefix("nats: "))

    def _tell(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems = [*self.problems[-9:], problem]

    async def _on_reconnect(self) -> None:
        self.reconnects += 1

    async def _live(self) -> None:
        """Redraw until stopped; stop when the client that was watched is closed."""
        while not self.stopped:
            await asyncio.sleep(REDRAW)
            if self._client is not None and self._client.is_closed and not self.stopped:
                said = self._client.last_error
                self.problems.append(f"the server has closed the view's connection ({said})")
                await self._end()
                return
            if second_connection.is_over(self._source):
                await self._end()
                return
            await self._tick()
            self._redraw()

    def _say_why_it_ended(self, redrawing: concurrent.futures.Future[None]) -> None:
        if not redrawing.cancelled() and (error := redrawing.exception()) is not None:
            self.problems.append(f"the table no longer moves: {type(error).__name__}: {error}")

    def stop(self) -> Self:
        """End the view, with everything in it that the server had until now; shows the last table.

        Publishers flush first (`await nc.flush()`): what a client has not yet sent, nobody has.
        Stopping again does no harm.
        """
        try:
            background.run(self._end(), 2 * BARRIER_TIMEOUT, "the view to end")
        except NotInTimeError:  # a server that hangs has nothing to hand over
            assert self._client is not None
            closing = second_connection.close(self._client)
            asyncio.run_coroutine_threadsafe(closing, background.loop())
        return self

    async def _end(self) -> None:
        import nats.errors

        if self.stopped:
            return
        self.stopped = True
        client = self._client
        assert client is not None
        if client.is_connected:
            with contextlib.suppress(OSError, nats.errors.Error):
                try:
                    await asyncio.wait_for(self._take_the_rest(), BARRIER_TIMEOUT)
                except TimeoutError:  # nats-py's own too
                    self._tell(
                        f"the server did not answer within {BARRIER_TIMEOUT:g} s: "
                        "what it has not handed over is missing"
                    )
        await second_connection.close(client)
        self._redraw()

    async def _until(self, condition: Callable[[], bool], timeout: float, what: str) -> Self:
        """Wait without holding up the caller's loop. Raises NotInTimeError."""
        from labkit.servers.wait import wait_until

        await asyncio.to_thread(wait_until, condition, timeout, what)
        return self

    # --- its output

    def _replace_earlier(self) -> None:
        """A cell that is run again replaces the view that it had made."""
        key = (id(self._source), type(self).__name__, self._what)
        earlier = _SHOWN.get(key)
        if earlier is not None:
            earlier.stop()
        _SHOWN[key] = self

    def _show(self) -> None:
        from IPython.core.getipython import get_ipython
        from IPython.display import HTML, display

        self._born_in = get_ipython().execution_count
        self._drawn = self._moving_table().html()
        self._handle = display(HTML(self._drawn), display_id=True)

    def _redraw(self) -> None:
        if self._handle is None:
            return
        table = self._lasting_table() if self.stopped else self._moving_table()
        drawn = table.html()
        if drawn != self._drawn:
            from IPython.display import HTML

            self._drawn = drawn
            self.redraws += 1
            self._handle.update(HTML(drawn))

    def _ipython_display_(self) -> None:
        """Show the table as it is now; not again in the cell whose output moves already."""
        from IPython.core.getipython import get_ipython
        from IPython.display import display

        if self._handle is not None and self._born_in == get_ipython().execution_count:
            return
        table = background.ask(self._lasting_table if moves() else self.table)
        display({"text/plain": table.text(), "text/html": table.html()}, raw=True)

    def __repr__(self) -> str:
        return background.ask(self.table).text()

    def _notes(self) -> list[str]:
        """What a person must know to trust the table: what it has not seen."""
        notes = []
        if self.reconnects:
            notes.append(f"connected again {self.reconnects}×: what was sent meanwhile is missing")
        client = self._client
        if client is not None and not client.is_connected and not self.stopped:
            said = f" ({client.last_error})" if client.last_error else ""
            notes.append(f"not connected now{said}: what is sent meanwhile is missing")
        return [*notes, *self.problems]
