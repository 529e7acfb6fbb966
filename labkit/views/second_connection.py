"""A connection of a view's own, with the address and the login of a client that exists.

So the client that is watched is not slowed: nothing is queued in it, and no callback runs in it.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from labkit.servers import nats_py
from labkit.servers.errors import LabError
from labkit.servers.topology import RunningTopology

if TYPE_CHECKING:
    import nats.aio.client

CONNECT_TIMEOUT = 5.0  # seconds
RECONNECT_WAIT = 0.25  # seconds between attempts

Source = Any  # a nats-py client, a RunningTopology, or an attached system

# What decides where a client connects and as whom; its names, timeouts and callbacks are its own.
_SAME = ("user", "password", "token", "tls", "tls_hostname", "tls_handshake_first")


class ViewError(LabError):
    """A view that could not be made; the text says why and what to do."""


def name_of(source: Source) -> str:
    """What to call a client or a lab in a sentence."""
    if isinstance(source, RunningTopology):
        return f"lab {source.topology!r}"
    if _is_attached(source):
        return f"the system at {source.topology}"
    name = source.options.get("name") if hasattr(source, "options") else None
    return f"client {name!r}" if name else "the client"


def is_over(source: Source) -> bool:
    """Whether the client is closed or the lab stopped: a view of it then ends by itself."""
    if _is_attached(source):
        return bool(source.closed)
    return bool(source.stopped if isinstance(source, RunningTopology) else source.is_closed)


def _is_attached(source: Source) -> bool:
    """Whether it is what `labkit.attach` gave, which knows how to connect there."""
    return hasattr(source, "connect_options")


def options_of(source: Source) -> dict[str, Any]:
    """What `nats.connect` needs to connect once more as this client did. Raises ViewError."""
    if isinstance(source, RunningTopology):
        urls = [server.url for server in source.values() if server.state == "running"]
        if source.stopped or not urls:
            raise ViewError(f"no server of {name_of(source)} runs; start one, then look again")
        return {"servers": urls}
    if _is_attached(source):
        if source.closed:
            raise ViewError(f"{name_of(source)} was closed; attach to it again, then look")
        return dict(source.connect_options())
    if not hasattr(source, "connected_url"):
        raise ViewError(
            f"{source!r} is neither a client nor a lab; "
            "give what `await lab.connect()` or `nats.connect` returned"
        )
    if source.is_closed:
        raise ViewError(
            f"{name_of(source)} is closed; connect again with `await lab.connect()`, then look"
        )
    now = source.connected_url
    addresses = [url for url in [now, *source.servers] if url is not None]
    same = {key: source.options[key] for key in _SAME if source.options.get(key) is not None}
    return {
        "servers": list(dict.fromkeys(url.geturl() for url in addresses)),
        **same,
        **nats_py.login_of(source),
    }


async def connect(
    client: nats.aio.client.Client, options: dict[str, Any], whose: str, **more: Any
) -> nats.aio.client.Client:
    """Make it the second connection; `whose` is for the sentence. Raises ViewError when refused."""
    refusals: list[Exception] = []
    report = more.pop("error_cb")

    async def keep(error: Exception) -> None:
        refusals[:] = [error]
        await report(error)

    attempt = client.connect(
        **options,
        **more,
        error_cb=keep,
        dont_randomize=True,
        reconnect_time_wait=RECONNECT_WAIT,
        max_reconnect_attempts=-1,
    )
    try:
        await asyncio.wait_for(attempt, CONNECT_TIMEOUT)
    except TimeoutError:
        await close(client)
        said = f" ({refusals[0]})" if refusals else ""
        raise ViewError(
            f"could not connect once more as {whose} within {CONNECT_TIMEOUT:g} s{said}; "
            "does its server run, and take this login? For a lab with logins give a client"
        ) from None
    return client


async def close(client: nats.aio.client.Client) -> None:
    """Close it, also when its server is gone already."""
    import nats.errors

    with contextlib.suppress(OSError, nats.errors.Error):
        await client.close()
