"""What services say of themselves, typed: their instances and endpoints, asked on $SRV.

Each instance of a nats.micro service answers $SRV.PING, $SRV.INFO and $SRV.STATS, also with its
name, or its name and id, behind. Views, checks and the room ask here; what the *server* knows of
an instance is in `observe.services`. The protocol:
https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-32.md
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import nats.aio.client
    from nats.aio.msg import Msg

DEADLINE = 2.0  # seconds for all answers
QUIET = 0.25  # seconds without a new answer, after which no more are expected
IDENTITY = ("name", "id", "version")  # what every answer must say, as text

Verb = Literal["PING", "INFO", "STATS"]
Said = dict[str, Any]  # one answer, as it came


@dataclass(frozen=True)
class Endpoint:
    """An endpoint and its counts since its instance started, as the instance tells them.

    `errors` are those of the `requests` that its handler raised an error for; `last_error` is the
    latest, "" for none. `processing_time` is what all its requests took together, in nanoseconds.
    """

    name: str
    subject: str
    queue_group: str
    requests: int
    errors: int
    last_error: str
    processing_time: int

    @property
    def average_time(self) -> int | None:
        """Nanoseconds that a request took on average; None before the first."""
        return self.processing_time // self.requests if self.requests else None


@dataclass(frozen=True)
class Instance:
    """One running instance of a service, as it describes itself.

    `description` is only in its INFO, `started` and the endpoints' counts only in its STATS:
    "", None and 0 where it has not told them.
    """

    name: str
    id: str
    version: str
    description: str
    metadata: Mapping[str, str]
    endpoints: tuple[Endpoint, ...]
    started: datetime | None

    @property
    def owner(self) -> str:
        """The owner in its metadata, "" where there is none."""
        return self.metadata.get("owner", "")

    @property
    def requests(self) -> int:
        """The requests of all its endpoints."""
        return sum(endpoint.requests for endpoint in self.endpoints)

    @property
    def errors(self) -> int:
        """The errors of all its endpoints."""
        return sum(endpoint.errors for endpoint in self.endpoints)

    @property
    def processing_time(self) -> int:
        """What all its requests took together, in nanoseconds."""
        return sum(endpoint.processing_time for endpoint in self.endpoints)


async def instances(
    client: nats.aio.client.Client,
    name: str | None = None,
    *,
    within: float = DEADLINE,
    quiet: float = QUIET,
) -> list[Instance]:
    """The instances that answer now, of this service or of all, sorted by name, version and id.

    Asks for INFO and STATS at once. Complete when nobody new has answered for `quiet` seconds, at
    the latest after `within` seconds; at once where the server says that nobody listens. An
    instance that answers twice is one; an answer without a name, id and version is passed over.
    """
    infos, stats = await gather(client, ("INFO", "STATS"), name, within=within, quiet=quiet)
    told: dict[tuple[str, str], Said] = {}
    for said in (*infos, *stats):
        told.setdefault(who(said), {}).update({key: value for key, value in said.items() if value})
    return sorted(map(instance, told.values()), key=lambda i: (i.name, i.version, i.id))


async def gather(
    client: nats.aio.client.Client,
    verbs: Iterable[Verb],
    name: str | None = None,
    id: str | None = None,
    *,
    within: float = DEADLINE,
    quiet: float = QUIET,
) -> list[list[Said]]:
    """For each verb, what all services answer, or those of this name, or the one of this id.

    Everything that came, in the order in which it came, so an instance that answers twice is there
    twice; answers without a name, id and version are left out. `within` and `quiet` are as in
    `instances`. Asks from an inbox of its own and leaves nothing behind.
    """
    inbox, news = client.new_inbox(), asyncio.Event()
    arrived: deque[Msg] = deque()

    async def note(message: Msg) -> None:
        arrived.append(message)
        news.set()

    found: dict[str, list[Said]] = {verb: [] for verb in verbs}
    listening, seen = set(found), set[tuple[str, ...]]()
    until = end = time.monotonic() + within
    subscription = await client.subscribe(f"{inbox}.*", cb=note)
    try:
        for verb in found:
            await client.publish(subject(verb, name, id), reply=f"{inbox}.{verb}")
        while listening and time.monotonic() < end and await _more(client, news, until, end):
            while arrived:
                message = arrived.popleft()
                verb = message.subject.rpartition(".")[2]
                if nobody(message):
                    listening.discard(verb)
                elif said := read(message.data):
                    found[verb].append(said)
                    if (key := (verb, *who(said))) not in seen:
                        seen.add(key)
                        until = min(time.monotonic() + quiet, end)
    finally:
        await subscription.unsubscribe()
    return list(found.values())


async def _more(
    client: nats.aio.client.Client, news: asyncio.Event, until: float, end: float
) -> bool:
    """Whether something comes until then; what the server had sent while this loop was busy counts."""
    import nats.errors

    news.clear()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(until - time.monotonic()):
            return await news.wait()
    with contextlib.suppress(TimeoutError, nats.errors.Error):
        async with asyncio.timeout(end - time.monotonic()):
            await client.flush()
    return news.is_set()


def subject(verb: Verb | str, name: str | None = None, id: str | None = None) -> str:
    """Where to ask all services, those of this name, or the one of this id."""
    return ".".join(["$SRV", verb, *filter(None, (name, id))])


def nobody(message: Msg) -> bool:
    """Whether it is the server's word that nobody listens where the question went."""
    return (message.headers or {}).get("Status") == "503"


def read(answer: bytes) -> Said | None:
    """One answer; None where it is no description of an instance."""
    try:
        said = json.loads(answer)
    except ValueError:
        return None
    if isinstance(said, dict) and all(isinstance(said.get(part), str) for part in IDENTITY):
        return said
    return None


def who(said: Said) -> tuple[str, str]:
    """Which instance says it: its service's name and its own id."""
    return said["name"], said["id"]


def instance(said: Said) -> Instance:
    """What an answer says, typed; what is not as the protocol has it is left out."""
    metadata, listed = said.get("metadata"), said.get("endpoints")
    pairs = metadata.items() if isinstance(metadata, dict) else ()
    endpoints = listed if isinstance(listed, list) else ()
    return Instance(
        name=said["name"],
        id=said["id"],
        version=said["version"],
        description=_text(said, "description"),
        metadata={key: value for key, value in pairs if isinstance(value, str)},
        endpoints=tuple(_endpoint(entry) for entry in endpoints if isinstance(entry, dict)),
        started=_time(_text(said, "started")),
    )


def _endpoint(said: Said) -> Endpoint:
    return Endpoint(
        name=_text(said, "name"),
        subject=_text(said, "subject"),
        queue_group=_text(said, "queue_group"),
        requests=_number(said, "num_requests"),
        errors=_number(said, "num_errors"),
        last_error=_text(said, "last_error"),
        processing_time=_number(said, "processing_time"),
    )


def _text(said: Said, key: str) -> str:
    return value if isinstance(value := said.get(key), str) else ""


def _number(said: Said, key: str) -> int:
    return value if isinstance(value := said.get(key), int) else 0


def _time(text: str) -> datetime | None:
    """A time with its zone; UTC where it has none."""
    with contextlib.suppress(ValueError):
        found = datetime.fromisoformat(text)
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    return None
