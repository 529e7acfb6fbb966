"""`labkit.attach`: what a lab shows, of a NATS system that labkit did not start."""

from __future__ import annotations

import functools
import html
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from labkit.frames import ServerFrames, SystemFrames
from labkit.servers import contexts, folders, foreign, links, observe, tables
from labkit.servers.blocking import blocking, blocking_method
from labkit.servers.errors import LabError
from labkit.servers.foreign import AttachError, ForeignServer
from labkit.servers.topology import ServerNameError

if TYPE_CHECKING:
    from nats.aio.client import Client

    from labkit.views.topology_map import Map
    from labkit.views.trace import Trace

NOT_OURS = {"start", "stop", "kill", "restart", "pause", "resume", "reload", "signal", "log"}
NOT_OURS |= {"add", "remove", "run", "cut", "delay", "heal", "folder", "events"}


class NotOursError(LabError, AttributeError):
    """Something that can be done to a lab, and not to a system that labkit did not start."""


def _refuse(name: str) -> NotOursError:
    if name in NOT_OURS:
        return NotOursError(
            f"labkit did not start this system, so that it has no {name} for it; "
            "labkit.start(…) gives a lab to break"
        )
    return NotOursError(f"an attached system has no {name!r}")


class AttachedServer(ServerFrames, ForeignServer):
    """A server that labkit did not start, and its monitoring pages as DataFrames."""

    def __getattr__(self, name: str) -> Any:
        raise _refuse(name)


class Attached(SystemFrames, Mapping[str, AttachedServer]):
    """A NATS system as it is seen from here: `system["n1"]` is a server, `await system.connect()` a client.

    It has what a lab has, without what starts, stops or breaks. Also a context manager; its end
    closes the connection through which it asked, and nothing else.
    """

    def __init__(
        self,
        whose: str,
        ways: list[foreign.Way],
        asker: foreign.Asker | None,
        settings: dict[str, Any] | None,
        options: Mapping[str, Any],
    ) -> None:
        self.topology = whose
        self._ways, self._asker = ways, asker
        self._settings, self._options = settings, options
        self._servers: dict[str, AttachedServer] = {}
        self.closed = False

    def __getattr__(self, name: str) -> Any:
        raise _refuse(name)

    def __getitem__(self, name: str) -> AttachedServer:
        try:
            return self._servers[name]
        except KeyError:
            raise ServerNameError(
                f"no server {name!r} in this system; {folders.did_you_mean(name, self._servers)}"
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._servers)

    def __len__(self) -> int:
        return len(self._servers)

    @blocking_method
    def refresh(self) -> None:
        """Look again who is there; what does not answer any more is "silent". `map()` does it too.

        Raises AttachError when nobody answers, or after `close()`.
        """
        if self.closed:
            raise AttachError("this system was closed; labkit.attach(…) asks it again")
        found = [(known, way) for way in self._ways for known in way.find()]
        if not found:
            raise AttachError(f"no server of {self.topology} answers; {self._reasons()}")
        before = {server.known.id: name for name, server in self._servers.items()}
        names = {s.known.name: name for name, s in self._servers.items()}
        servers, seen = dict(self._servers), set[str]()
        for known, way in found:
            if known.id in seen:  # found in two ways: the first is the better one
                continue
            seen.add(known.id)
            name = before.get(known.id) or names.pop(known.name, None)
            if name is None:
                name = known.name
                while name in servers:
                    name += "'"
                servers[name] = AttachedServer(known, way, name)
            servers[name].found(known)
        for server in servers.values():
            if server.known.id not in seen:
                server.found(None)
        in_order = sorted(servers.items(), key=lambda entry: _in_its_place(entry[1]))
        self._servers = dict(in_order)

    def _reasons(self) -> str:
        silent = [way.silent for way in self._ways if isinstance(way, foreign.Addresses)]
        said = [f"{url}: {why}" for found in silent for url, why in found.items()]
        return "; ".join(said) or "are its servers up, and is this login allowed to ask?"

    async def connect(self, **options: Any) -> Client:
        """A nats-py client of this system, as its context says; `options` are those of `nats.connect`.

        Raises AttachError where only monitoring addresses were given, ContextError when nobody
        lets it in within 4 s.
        """
        return await contexts.connect_with(self._login(), **{**self._options, **options})

    def _login(self) -> dict[str, Any]:
        if self._settings is None:
            raise AttachError(
                "this system is known by its monitoring addresses only, and clients connect "
                "elsewhere; attach with a context or a url too"
            )
        return self._settings

    def connect_options(self) -> dict[str, Any]:
        """What `nats.connect` takes, for a view's own connection."""
        return {**contexts.options(self._login()), **self._options}

    @blocking_method
    def links(self) -> list[links.Link]:
        """The links between the servers, each once, as the servers name them."""
        return links.named([s for s in self.values() if s.state == "running"])

    @blocking_method
    def map(self, *, rtt: bool = False, trace: Trace | None = None) -> Map:
        """A picture of who is connected to whom, as `lab.map` draws it, of the servers that answer now.

        Where only an account's clients may be seen, its links are missing, and a line says so.
        """
        from labkit.views import observed, topology_map

        self.refresh()
        if not any(server.sees_links for server in self.values()):
            print(
                "This map has servers and clients only: links are told to the system account, "
                "or at monitoring addresses."
            )
        return topology_map.draw(observed.take(self), rtt=rtt, trace=trace)

    @blocking_method
    def services(self) -> list[observe.Service]:
        """The instances of services that are connected, as their subscriptions on $SRV show them."""
        return [found for server in self.values() for found in observe.services(server)]

    @blocking_method
    def close(self) -> None:
        """End the connection through which this system was asked; again does no harm."""
        if self._asker is not None and not self.closed:
            self._asker.close()
        self.closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    def rows(self) -> list[tuple[str, str, str]]:
        """A row a server: name, cluster, state."""
        return [(name, s.known.cluster, s.state) for name, s in self.items()]

    def __repr__(self) -> str:
        return "\n".join([self.topology, *("  " + "  ".join(row) for row in self.rows())])

    def _repr_html_(self) -> str:
        table = tables.html_table(("server", "cluster", "state"), self.rows())
        return f"<b>{html.escape(self.topology)}</b>{table}"


def _in_its_place(server: ForeignServer) -> tuple[bool, str, str]:
    """Clusters before servers on their own, each by name, as files in a folder would be."""
    return not server.known.cluster, server.known.cluster, server.name


@blocking
def attach(
    context: str | None = None,
    *,
    url: str | None = None,
    monitor: str | Iterable[str] = (),
    **options: Any,
) -> Attached:
    """A handle on a NATS system that labkit did not start: its frames, map, streams and services.

    `context` is one of the `nats` command line; without it, and without anything else, the one
    that is selected. Or `url`, with `options` of `nats.connect` such as `user=` and `password=`. Or
    `monitor`, addresses such as "host:8222", alone or beside these. Servers are asked through the
    system account where the login is one of its users, else at their monitoring addresses, else
    what any client may ask: its own account's clients and streams.

    Raises ContextError for a context that cannot be used and when nobody lets it in, AttachError
    when no server answers.
    """
    addresses = [monitor] if isinstance(monitor, str) else list(monitor)
    settings = None
    if url is not None:
        settings = {"url": url}
    elif context is not None or not addresses:
        settings = contexts.read(context)
    ways: list[foreign.Way] = [foreign.Addresses(addresses)] if addresses else []
    asker = None
    if settings is not None:
        given = functools.partial(contexts.connect_with, settings)
        asker = foreign.Asker(lambda **own: given(**{**options, **own}))
    try:
        if asker is not None:
            system = foreign.SystemAccount(asker)
            if system.find():
                ways.insert(0, system)
            elif not addresses:
                ways.append(foreign.OwnAccount(asker))
        whose = context or url or (settings or {}).get("url") or ", ".join(addresses)
        attached = Attached(str(whose), ways, asker, settings, options)
        attached.refresh()
    except BaseException:
        if asker is not None:
            asker.close()
        raise
    return attached
