"""The NATS clients of a lab: ordinary nats-py clients whose errors are seen and that end with it."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import ssl
import sys
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from labkit.servers.errors import TopologyError

if TYPE_CHECKING:
    import nats.aio.client

    from labkit.servers.server import ServerProcess

CONNECT_TIMEOUT = 5.0  # seconds
RECONNECT_WAIT = 0.25  # seconds between attempts; nats-py's 2 s would make every lesson wait
SETTLE_TIMEOUT = 2  # seconds for a client's server to answer
LOOK_AGAIN = 0.02  # seconds between looks at what a connecting client reports
ERRORS_KEPT = 1000


class RefusedError(TopologyError):
    """A server that does not accept a client's login."""


@dataclass(frozen=True)
class ClientError:
    """An error that a client reported: the client's name and the error itself."""

    client: str
    error: Exception

    def __str__(self) -> str:
        # nats-py's own text of this error ends in an object's address
        dropped = getattr(self.error, "subject", None)
        what = f"slow consumer, messages on {dropped!r} are dropped" if dropped else self.error
        return f"client {self.client!r}: {what or type(self.error).__name__}"


@dataclass
class _Attempt:
    """One client's way to its connection: the errors that it reported on it, and itself once there."""

    name: str
    errors: list[Exception] = field(default_factory=list)
    client: nats.aio.client.Client | None = None


class Clients:
    """The clients that a lab handed out, and `errors`: what they reported, oldest first."""

    def __init__(self, topology: str) -> None:
        self.topology = topology
        self.errors: list[ClientError] = []
        self._count = 0
        self._open: weakref.WeakKeyDictionary[nats.aio.client.Client, asyncio.AbstractEventLoop] = (
            weakref.WeakKeyDictionary()
        )
        self._closing = False

    async def connect(
        self, server: ServerProcess, *, replace: bool = False, **options: Any
    ) -> nats.aio.client.Client:
        """A client of this server; with `replace`, open ones of the same name are closed first.

        Raises TopologyError when it is not accepted within 5 s.
        """
        from labkit.servers.client import Client

        if server.state != "running":
            raise TopologyError(
                f"{server.name} does not answer clients, it is {server.state}; "
                f"lab[{server.name!r}].{'resume' if server.state == 'paused' else 'start'}() helps"
            )
        if replace:
            await self._close(options.get("name"))
        self._count += 1
        options.setdefault("name", f"client-{self._count}")
        options.setdefault("reconnect_time_wait", RECONNECT_WAIT)
        options.setdefault("max_reconnect_attempts", -1)
        attempt = _Attempt(options["name"])
        report = self._on_error(attempt, options.get("error_cb"))
        options["error_cb"] = report
        options["closed_cb"] = self._on_close(attempt, report, options.get("closed_cb"))
        # In a context of its own: prints of its callbacks then show under the cell that runs,
        # not under the one that connected.
        client = Client()
        task = asyncio.get_running_loop().create_task(
            client.connect(server.url, **options), context=contextvars.Context()
        )
        try:
            await self._unless_refused(server, task, attempt)
        except TimeoutError:
            said = f" ({attempt.errors[-1]})" if attempt.errors else ""
            raise TopologyError(
                f"{server.name} did not accept the client within {CONNECT_TIMEOUT:g} s{said}"
            ) from None
        self._open[client] = asyncio.get_running_loop()
        attempt.client = client
        return client

    async def _unless_refused(
        self, server: ServerProcess, task: asyncio.Task[None], attempt: _Attempt
    ) -> None:
        """Wait for the connection. Raises RefusedError for what trying again cannot help."""
        import nats.errors

        final = (
            nats.errors.AuthorizationError,
            nats.errors.SecureConnRequiredError,
            nats.errors.SecureConnWantedError,
            ssl.SSLError,
        )
        deadline = asyncio.get_running_loop().time() + CONNECT_TIMEOUT
        try:
            while not task.done():
                for error in attempt.errors:
                    if isinstance(error, final) or "authorization" in str(error).lower():
                        raise RefusedError(f"{server.name} refuses the client: {error}")
                if asyncio.get_running_loop().time() > deadline:
                    raise TimeoutError
                await asyncio.wait([task], timeout=LOOK_AGAIN)
            await task
        finally:
            task.cancel()  # or it would go on trying when nobody waits any more

    async def _close(self, name: str | None) -> None:
        """Close the open clients of this name, and return when those of this loop are closed."""
        here = asyncio.get_running_loop()
        for client, loop in list(self._open.items()):
            if client.options["name"] != name or client.is_closed:
                continue
            if loop is here:
                await client.close()
            elif loop.is_running():
                loop.call_soon_threadsafe(_close_soon, client)

    def connected(self, server_url: str) -> list[nats.aio.client.Client]:
        """The clients that this lab handed out and that are connected to this server now."""
        return [
            client
            for client in self._open
            if client.connected_url and client.connected_url.netloc == server_url.partition("//")[2]
        ]

    async def settle(self) -> None:
        """Return when the servers have seen what the connected clients have sent so far."""
        import nats.errors

        for client in list(self._open):
            if client.is_connected:
                with contextlib.suppress(TimeoutError, nats.errors.Error):
                    await client.flush(SETTLE_TIMEOUT)

    def close_all(self) -> None:
        """Close every client that is still open, each on its own loop, without waiting for it."""
        self._closing = True
        for client, loop in list(self._open.items()):
            if loop.is_running() and not client.is_closed:
                loop.call_soon_threadsafe(_close_soon, client)

    def _on_error(
        self,
        attempt: _Attempt,
        theirs: Callable[[Exception], Awaitable[None]] | None,
    ) -> Callable[[Exception], Awaitable[None]]:
        """An error_cb that keeps each error, shows it unless it repeats, and calls the caller's own.

        Until the client is connected nothing is shown: `connect` raises what is wrong.
        """
        shown: set[str] = set()

        async def report(error: Exception) -> None:
            if self._closing:
                return
            if attempt.client is None:
                attempt.errors.append(error)
            entry = ClientError(attempt.name, error)
            del self.errors[: -ERRORS_KEPT + 1]
            self.errors.append(entry)
            if theirs is not None:
                await theirs(error)
            elif attempt.client and str(entry) not in shown:
                shown.add(str(entry))
                print(f"NATS error, {entry}", file=sys.stderr)

        return report

    def _on_close(
        self,
        attempt: _Attempt,
        report: Callable[[Exception], Awaitable[None]],
        theirs: Callable[[], Awaitable[None]] | None,
    ) -> Callable[[], Awaitable[None]]:
        """A closed_cb that reports the error nats-py closed for: it does not tell its error_cb."""

        async def closed() -> None:
            error = attempt.client.last_error if attempt.client else None
            if error is not None and all(entry.error is not error for entry in self.errors):
                await report(error)
            if theirs is not None:
                await theirs()

        return closed


def _close_soon(client: nats.aio.client.Client) -> None:
    import nats.errors

    async def close() -> None:
        with contextlib.suppress(OSError, nats.errors.Error):  # its server may be gone already
            await client.close()

    _CLOSING.add(task := asyncio.get_running_loop().create_task(close()))
    task.add_done_callback(_CLOSING.discard)


_CLOSING: set[asyncio.Task[None]] = set()
