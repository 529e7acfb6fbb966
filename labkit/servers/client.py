"""nats-py's client with one repair: `flush()` returns when the server has seen what was sent before."""

from __future__ import annotations

import nats.aio.client


class Client(nats.aio.client.Client):  # type: ignore[misc]
    """An ordinary nats-py client.

    nats-py 2.16 writes the PING of a flush ahead of commands that still wait in its buffer, so
    that one flush is no barrier for them; they are written while it waits, and a second is.
    """

    async def flush(self, timeout: float = 10) -> None:
        """Return when the server has processed everything sent so far. Raises TimeoutError."""
        await super().flush(timeout)
        await super().flush(timeout)
