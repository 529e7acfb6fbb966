"""What a check has at hand to say and to ask: sentences, the servers, clients of its own, errors.

A check's sentences stand with its exercise's data, under a key: "text", or ["when met", "when not"].
`{name}` is a fact that the check gives; `wording` says how it reads. What a check does is in `play`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from labkit.course.comparing import compare
from labkit.course.wording import Fact, Raised
from labkit.servers import discovery, observe, topology
from labkit.servers.discovery import Instance, Said, Verb
from labkit.servers.observe import Connection, ConnectionState, Subscription
from labkit.servers.server import ServerProcess

if TYPE_CHECKING:
    from nats.aio.client import Client as NatsClient

    from labkit.room import Room

CLIENT_NAME = "labkit-check"  # of the clients that a check uses
SILENCE = 1.0  # seconds without a message, after which nothing more is expected of a notebook
AFTERWARDS = 0.15  # seconds in which a second answer shows itself, once the first ones are there


class NotYetError(Exception):
    """Ends a check: there is nothing to judge yet; its text says what is missing."""


class WrongError(Exception):
    """Ends a check whose last line says what is wrong."""


@dataclass
class Look:
    """One run of a check: what the learner gave it, the topology of its lab, its sentences."""

    answers: tuple[Any, ...] = ()
    lab_name: str = ""
    says: Mapping[str, Any] = field(default_factory=dict)
    lines: list[tuple[bool, str]] = field(default_factory=list)
    _clients: list[NatsClient] = field(default_factory=list)
    _last_error: Any = None

    # --- saying ---------------------------------------------------------------------------------

    def need(self, met: object, key: str, **facts: Any) -> None:
        """End the check with "not yet" unless this is met."""
        if not met:
            raise NotYetError(self._filled(self._texts(key)[1], facts))

    def expect(self, met: object, key: str, *, wrong: str = "", **facts: Any) -> bool:
        """Note one expectation. `wrong` names the sentence for the mistake, where there are several."""
        text = self._texts(wrong or key)[1] if not met else self._texts(key)[0]
        if text:
            self.lines.append((bool(met), self._filled(text, facts)))
        return bool(met)

    def must(self, met: object, key: str, *, wrong: str = "", **facts: Any) -> None:
        """As `expect`, and end the check with ✘ where it is not met."""
        if not self.expect(met, key, wrong=wrong, **facts):
            raise WrongError

    def compare(
        self,
        key: str,
        sent: Sequence[Hashable],
        came: Sequence[Hashable],
        by: Callable[[Any], Any] = lambda item: "",
        **facts: Any,
    ) -> None:
        """Expect that all that was sent came, nothing else, each once and, `by` sender, in order.

        Under the key stand `seen`, `lost`, `strange`, `doubled`, `shuffled`, with these facts and
        `sent`; what has no sentence is not examined.
        """
        found = compare(sent, came, by)
        facts = {**found, "sent": sent, **facts}
        for kind, seen in (
            ("lost", self.says[key]["seen"]),
            ("strange", "and nothing else"),
            ("doubled", "each of them once"),
            ("shuffled", "and in the order in which they were sent"),
        ):
            if text := self.says[key].get(kind):
                filled = self._filled(text if found[kind] else seen, facts)
                self.lines.append((not found[kind], filled))

    def _texts(self, key: str) -> Sequence[str]:
        """What is said under this key when it is met, and when it is not."""
        entry: str | Sequence[str] = self.says[key]
        return ("", entry) if isinstance(entry, str) else entry

    def _filled(self, text: str, facts: Mapping[str, Any]) -> str:
        """The text with its facts."""
        values = {name: Fact(value) for name, value in facts.items()}
        shared = {key: self.says.get(key) for key in ("anew", "afresh")}
        return text.format(**shared, **values, raised=Raised(self.errors()))

    # --- asking ---------------------------------------------------------------------------------

    @property
    def answer(self) -> Any:
        """The learner's first answer; None where there is none, or it was left empty."""
        return self.answers[0] if self.answers else None

    @property
    def lab(self) -> topology.RunningTopology:
        """The newest lab of the exercise's topology, else the newest; ends the check where none runs."""
        self.need(lab := self.running(), "lab")
        return cast("topology.RunningTopology", lab)

    def running(self) -> topology.RunningTopology | None:
        """As `lab`, and None where none runs."""
        labs = topology.running()[::-1]
        return next((lab for lab in labs if lab.topology == self.lab_name), next(iter(labs), None))

    @property
    def server(self) -> ServerProcess:
        """The lab's first server."""
        return next(iter(self.lab.values()))

    @property
    def room(self) -> Room:
        """The room that is open; ends the check where none is."""
        from labkit.room import current

        self.need(room := current(), "room")
        return cast("Room", room)

    async def settle(self) -> None:
        """Return when the servers have seen what the learner's clients sent; errors count from here on."""
        if lab := self.running():
            await lab.clients.settle()
            self._last_error = next(reversed(lab.clients.errors), None)

    async def connect(self) -> NatsClient:
        """A client of the check's own."""
        return self.mine(await self.lab.connect(self.server.name, name=CLIENT_NAME))

    def mine(self, client: NatsClient) -> NatsClient:
        """Have this client closed when the check ends; returns it."""
        self._clients.append(client)
        return client

    async def listen(self, subject: str, client: NatsClient | None = None) -> Ear:
        """Hear this subject from now on, with this client or one of the check's own."""
        client, ear = client or await self.connect(), Ear(subject)
        await client.subscribe(subject, cb=ear.note)
        await client.flush()
        return ear

    async def connections(
        self, name: str = "", state: ConnectionState = "open", server: ServerProcess | None = None
    ) -> list[Connection]:
        """The clients' connections, of this name where it is given, the oldest first."""
        found = await asyncio.to_thread(observe.connections, server or self.server, state=state)
        theirs = (c for c in found if c.kind == "Client" and c.name != CLIENT_NAME)
        return sorted((c for c in theirs if not name or c.name == name), key=lambda c: c.cid)

    async def client(self, name: str, *, newest: bool = False) -> Clients:
        """The learner's client of this name, or only its newest; "not yet" while it has no subscription."""
        everybody = await self.connections()
        found = [c for c in everybody if c.name == name]
        self.need(found, "client", name=name, names={c.name for c in everybody if c.name})
        clients = Clients(name, found[-1:] if newest else found, self)
        self.need(clients.subscriptions, "subscription", name=name)
        return clients

    async def hearing(self, subject: str, at: ServerProcess | None = None) -> list[Subscription]:
        """The learner's subscriptions that hear this subject, as the server matches it."""
        theirs = {c.cid for c in await self.connections(server=at)}
        found = await asyncio.to_thread(observe.subscriptions, at or self.server, matching=subject)
        return [subscription for subscription in found if subscription.cid in theirs]

    async def alone(self, subject: str, cids: Collection[int]) -> None:
        """End the check with ✘ where more of the learner's clients hear this subject than these."""
        more = {s.cid for s in await self.hearing(subject)} - set(cids)
        others = [c.name or f"client {c.cid}" for c in await self.connections() if c.cid in more]
        self.must(not others, "others", others=others, subject=subject)

    async def instances(self, name: str | None = None) -> list[Instance]:
        """The instances of services that answer now, of this name or all, as they describe themselves."""
        return await discovery.instances(await self.connect(), name)

    async def said(self, verb: Verb, name: str, id: str | None = None) -> list[Said]:
        """Every answer of the services of this name, or of this instance alone, to one $SRV question."""
        (found,) = await discovery.gather(await self.connect(), (verb,), name, id)
        return found

    def errors(self, client: str = "") -> list[Exception]:
        """What the learner's clients, or the one of this name, reported during this check, newest first."""
        lab = self.running()
        kept = reversed(lab.clients.errors if lab else [])
        fresh = itertools.takewhile(lambda entry: entry is not self._last_error, kept)
        return [entry.error for entry in fresh if client in ("", entry.client)]

    async def close(self) -> None:
        """Close the check's clients, also where their server is gone."""
        import nats.errors

        for client in self._clients:
            with contextlib.suppress(OSError, nats.errors.Error):
                await client.close()


@dataclass(frozen=True)
class Clients:
    """The connections of one of the learner's clients: one, or more where older ones were left open."""

    name: str
    connections: list[Connection]
    look: Look

    @property
    def cids(self) -> set[int]:
        """The server's numbers for them."""
        return {connection.cid for connection in self.connections}

    @property
    def subscriptions(self) -> list[Subscription]:
        """All their subscriptions, when they were looked at."""
        return [s for connection in self.connections for s in connection.subscriptions]

    async def on(self, subject: str, *, must: bool = False) -> list[Subscription]:
        """Their subscriptions that hear this subject. With `must`, none at all ends the check."""
        found = [s for s in await self.look.hearing(subject) if s.cid in self.cids]
        listens = {s.subject for s in self.subscriptions}
        facts: dict[str, Any] = {"name": self.name, "subjects": listens}
        self.look.must(found or not must, "hears_nothing", subject=subject, **facts)
        return found


@dataclass
class Ear:
    """What came on a subject, in the order in which it came."""

    subject: str
    messages: list[Any] = field(default_factory=list)

    async def note(self, message: Any) -> None:
        """The subscription's callback."""
        self.messages.append(message)

    async def take(self, wanted: int, patience: float = SILENCE) -> list[str]:
        """The texts, when `wanted` came, or none has for `patience` seconds; with what follows at once."""
        for most, longest in ((wanted, patience), (100 * wanted, min(patience, AFTERWARDS))):
            seen, since = len(self.messages), time.monotonic()
            while len(self.messages) < most and time.monotonic() - since < longest:
                await asyncio.sleep(0.01)
                if len(self.messages) != seen:
                    seen, since = len(self.messages), time.monotonic()
        return [message.data.decode(errors="replace") for message in self.messages]
