"""Starting a topology from a folder of server files, and the handle on what runs: the RunningTopology."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar

from labkit.servers import (
    binary,
    clients,
    config,
    contexts,
    credentials,
    dials,
    faults,
    folders,
    launching,
    placement,
    ports,
    programs,
    readiness,
    systems,
)
from labkit.servers.blocking import blocking_method
from labkit.servers.errors import LabError, TopologyError
from labkit.servers.events import Events
from labkit.servers.launching import Ports
from labkit.servers.links import Pair
from labkit.servers.links import read as read_links
from labkit.servers.placement import PlannedServer
from labkit.servers.processes import Guard, Process
from labkit.servers.server import START_TIMEOUT, ServerProcess

if TYPE_CHECKING:
    import nats.aio.client


LinkChoice = Literal["forwarded", "direct"]
SomeLab = TypeVar("SomeLab", bound="RunningTopology")

_RUNNING: list[RunningTopology] = []


class RunningTopology(Mapping[str, ServerProcess]):
    """A running topology: `lab["n1"]` is a server, `await lab.connect()` a client, `lab.stop()` its end.

    Also a context manager. Whatever ends this process, its servers end and their files go.
    """

    server_class: ClassVar[type[ServerProcess]] = (
        ServerProcess  # what lab["n1"] is; a subclass may give more
    )

    def __init__(
        self,
        topology: str,
        servers: dict[str, ServerProcess],
        guard: Guard,
        program: binary.Binary,
        port_map: dict[int, int],
        events: Events,
        breaker: faults.Faults | None = None,
        made: credentials.Made | None = None,
        contexts: dict[str, str] | None = None,
    ) -> None:
        self.topology = topology
        self.events = events
        self.credentials = made or {}
        self._servers, self._guard, self._faults = servers, guard, breaker
        self._program, self._port_map = program, port_map
        self.clients = clients.Clients(topology)
        self.contexts = contexts or {}  # by which `nats --context …` reaches each server
        self.context = next(iter(self.contexts.values()), None)
        self.stopped = False
        self._programs = itertools.count(1)  # their numbers, as they are started

    def __getitem__(self, name: str) -> ServerProcess:
        try:
            return self._servers[name]
        except KeyError:
            raise ServerNameError(
                f"no server {name!r} in this lab; {folders.did_you_mean(name, self._servers)}"
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._servers)

    def __len__(self) -> int:
        return len(self._servers)

    @property
    def folder(self) -> Path:
        """The run's temporary folder, with the private copies, logs and stores; gone after stop()."""
        return self._guard.folder

    async def connect(
        self,
        server: str | None = None,
        *,
        credentials: str | None = None,
        replace: bool = False,
        **options: Any,
    ) -> nats.aio.client.Client:
        """An ordinary nats-py client of the named server, or of the first one that runs.

        With `replace`, clients of the same `name` that this lab handed out are closed first: a cell
        that connects one may then run again and again.

        `credentials` is a name in `lab.credentials`, which holds what was made at the start, in
        the words of a `nats` context: user and password, nkey, creds, ca, cert, key. `options` are
        those of `nats.connect`. What nats-py would drop silently is shown: errors are printed, once
        each, and kept in `lab.clients.errors`. Raises LabError when the server does not run, or
        does not accept the client: at once when it refuses the login, else after 5 s.
        """
        self._refuse_stopped()
        target = self[server] if server else self._first_running()
        login = self._login(credentials) if credentials is not None else {}
        if target.encrypts_first:
            options.setdefault("tls_handshake_first", True)
        try:
            return await self.clients.connect(target, replace=replace, **{**login, **options})
        except clients.RefusedError as error:
            there = ", ".join(map(repr, self.credentials))
            if not there or credentials is not None:
                raise
            raise clients.RefusedError(
                f"{error}. Say who you are: lab.connect(credentials=…), with one of {there}"
            ) from None

    def _login(self, name: str) -> dict[str, Any]:
        """What `nats.connect` takes to be `name`. Raises LabError for a name that is not there."""
        if name not in self.credentials:
            hint = (
                folders.did_you_mean(name, self.credentials) if self.credentials else "it has none"
            )
            raise LabError(f"no credentials {name!r} in this lab; {hint}")
        login = contexts.options(self.credentials[name])
        del login["servers"]
        return login

    def _first_running(self) -> ServerProcess:
        for server in self.values():
            if server.state == "running":
                return server
        if not self._servers:
            raise TopologyError("no server is left in this lab; lab.add(name, text) starts one")
        raise TopologyError(
            "no server of this lab runs; start one with "
            + " or ".join(f"lab[{name!r}].start()" for name in self)
        )

    @blocking_method
    def add(self, name: str, text: str, timeout: float = START_TIMEOUT) -> ServerProcess:
        """Start one more server from config text and return it when the topology is usable with it.

        Servers that are stopped or paused are not waited for.
        The text names well-known addresses, as the topology's files do: a route to
        127.0.0.1:6222 reaches the server that has this address in its file. Raises ConfigError or
        TopologyError as `start` does; then the lab is as it was.
        """
        self._refuse_stopped()
        file = config.read(Path(f"{name}.conf"), text)
        placed = [server.planned for server in self.values()]
        (planned,) = placement.plan({name: file}, beside=placed)
        known = placement.literal_ports([*placed, planned])
        dials.refuse_nobody([planned], known)
        new = sorted(placement.literal_ports([planned]) - self._port_map.keys())
        free = ports.free_ports(len(new) + len(planned.listeners) + 1)
        port_map = self._port_map | dict(zip(new, free, strict=False))
        dialed = next((dict(other.dialed) for other in placed), {})
        if self._faults:
            wanted = faults.to_forward([planned])
            dialed |= dict(zip(wanted, ports.free_ports(len(wanted)), strict=True))
        placement.place(planned, self.folder, port_map, iter(free[len(new) :]), dialed)
        server = self.server_class(planned, self._program, self._guard, self.events)
        try:
            if self._faults:
                self._faults.open(faults.forwards([planned], dialed))
                self._faults.wait_open()
            server.launch()
            up = {s.name: s for s in self.values() if s.state == "running"}
            readiness.wait_usable({**up, server.name: server}, timeout)
        except BaseException:
            server.kill()
            raise
        self._servers = {**self._servers, server.name: server}  # others may be reading it
        self._port_map = port_map
        self.events.note("add", server.name)
        return server

    @blocking_method
    def wait_usable(self, timeout: float = START_TIMEOUT) -> None:
        """Return when the topology is usable again, as `start` does: after a restart, for example.

        Raises TopologyError with what is missing after `timeout` seconds, or when a server is down.
        """
        self._refuse_stopped()
        readiness.wait_usable(dict(self._servers), timeout)

    @blocking_method
    def remove(self, name: str) -> None:
        """Stop a server and take it out of the lab. The others notice as they would anywhere."""
        self[name].stop()
        self._servers = {n: server for n, server in self._servers.items() if n != name}

    @blocking_method
    def run(
        self,
        program: str | Path,
        *arguments: str,
        server: str | None = None,
        name: str | None = None,
    ) -> programs.Program:
        """Start a Python file as a process of its own; returns when it has printed its first line.

        It ends with this lab, whatever ends that. Its environment says in NATS_URL which server it is to
        connect to: the named one, or the first that runs. `name` is what pictures call it, else the
        file's, with a number from the second on. Raises LabError when there is no such file, when it
        ends with an error before it has printed a line, or prints none for 15 s.
        """
        self._refuse_stopped()
        command = programs.command(program, arguments)
        number, stem = next(self._programs), Path(program).stem
        name = name or (stem if number == 1 else f"{stem}-{number}")
        output = self.folder / f"program-{number}.log"
        url = (self[server] if server else self._first_running()).url
        folder, environment = Path(command[2]).parent, {programs.URL: url}
        process = self._guard.start(name, command, folder, output, environment)
        self._guard.wait_started([process])
        started = programs.Program(name, process, output, self._guard, self.events)
        started.wait_first_line()
        self.events.note("start", name)
        return started

    @blocking_method
    def run_beside(self, name: str, argv: list[str]) -> Process:
        """Start another program that ends with this lab, whatever ends that."""
        self._refuse_stopped()
        process = self._guard.start(name, argv, self.folder, self.folder / f"{name}.log")
        self._guard.wait_started([process])
        return process

    def said_beside(self, name: str) -> str:
        """The last lines that a program of `run_beside` printed."""
        with contextlib.suppress(OSError):
            lines = (self.folder / f"{name}.log").read_text(errors="replace").splitlines()
            return "\n".join(lines[-5:])
        return ""

    @blocking_method
    def links(self) -> faults.LinkList:
        """The links between the servers, each once, as the running servers name them.

        Links that the files ask for and no server names are in it too, as down.
        """
        found = read_links(self)
        breaker = self._faults
        return faults.LinkList(breaker.mark(ln, self) if breaker else ln for ln in found)

    @blocking_method
    def cut(self, a: str, b: str) -> None:
        """Cut the link between two servers, or clusters: nothing passes, in either direction.

        Live connections end at once, new ones are refused, until `heal`. Returns when the servers
        have noticed. Raises TopologyError when there is no such link.
        """
        breaker, cut = self._breakable(a, b)
        breaker.were_up |= {(ln.kind, ln.pair) for ln in self.links() if ln.up and ln.pair in cut}
        breaker.apply(breaker.cut | cut, breaker.delay)
        self.events.note("cut", a, b)
        faults.wait_down(self, cut)

    @blocking_method
    def delay(self, a: str, b: str, ms: float) -> None:
        """Let whatever crosses a link take `ms` milliseconds longer, each way; 0 ends that.

        Raises TopologyError when there is no such link, or for a negative time.
        """
        if not isinstance(ms, int | float) or not 0 <= ms <= faults.LONGEST_DELAY:
            raise TopologyError(
                f"a delay of {ms!r} ms cannot be; give 0 to {faults.LONGEST_DELAY} milliseconds"
            )
        breaker, delayed = self._breakable(a, b)
        breaker.apply(breaker.cut, breaker.delay | dict.fromkeys(delayed, float(ms)))
        self.events.note(f"delay of {ms:g} ms", a, b)

    @property
    def cuts(self) -> frozenset[Pair]:
        """The pairs of servers between which links are cut now."""
        return frozenset(self._faults.cut if self._faults else ())

    @property
    def delays(self) -> dict[Pair, float]:
        """The delay each way, in milliseconds, between pairs of servers whose links have one now."""
        return dict(self._faults.delay if self._faults else {})

    @blocking_method
    def heal(self, a: str | None = None, b: str | None = None) -> None:
        """Make links whole again, all or the one between `a` and `b`: not cut, not delayed.

        Returns when the links that were cut are up again, as far as their servers run; 15 s at
        most, then NotInTimeError is raised. Raises TopologyError when there is no such link.
        """
        self._refuse_stopped()
        if (a is None) != (b is None):
            raise TopologyError(
                f"a link has two ends and only {a or b} is given; write lab.heal(a, b), "
                "or lab.heal() for all links"
            )
        if a is not None and b is not None:
            breaker, healed = self._breakable(a, b)
            self.events.note("heal", a, b)
        elif self._faults is not None:
            breaker = self._faults
            healed = breaker.cut | breaker.delay.keys()
            self.events.note("heal")
        else:
            return  # nothing can have been broken
        faults.wait_up(self, breaker.heal(healed))

    def _breakable(self, a: str, b: str) -> tuple[faults.Faults, set[Pair]]:
        """Who breaks links here, and the pairs of servers between `a` and `b`."""
        self._refuse_stopped()
        pairs = faults.pairs(self, a, b)
        if self._faults is None:
            raise TopologyError(
                "the servers of this lab dial each other directly, so that links cannot be cut or "
                'delayed; start it without ports="well-known" and links="direct"'
            )
        return self._faults, pairs

    def _refuse_stopped(self) -> None:
        if self.stopped:
            raise TopologyError(
                f"this lab is stopped; start it again with labkit.start({self.topology!r})"
            )

    @blocking_method
    def stop(self) -> None:
        """End every server and remove every file of the run; stopping again does no harm."""
        if self.stopped:
            return
        self.stopped = True
        if self in _RUNNING:
            _RUNNING.remove(self)
        self.clients.close_all()
        for server in self.values():
            server.expect_end()
        self._guard.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop.aio()

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    def rows(self) -> list[tuple[str, str, str, str]]:
        """A row a server: name, role, state, url."""
        return [(s.name, role(s.planned), s.state, s.url) for s in self.values()]

    def __repr__(self) -> str:
        heading = f"{self.topology}: {'stopped' if self.stopped else 'running'}"
        return "\n".join([heading, *("  " + "  ".join(row) for row in self.rows())])


class ServerNameError(LabError, KeyError):
    """A server name that the lab does not have."""

    def __str__(self) -> str:
        return str(self.args[0])


def start(
    lab_class: type[SomeLab],
    topology: str | Path | Mapping[str, str],
    ports: Ports = "free",
    links: LinkChoice = "forwarded",
    timeout: float = START_TIMEOUT,
    make_way: Callable[[str], object] | None = None,
) -> SomeLab:
    """Start a topology and return it, as a lab of this class, when it is usable.

    `topology` is the name of a folder in server-configs, a path to a folder of .conf files or to
    one file, or a mapping of server name to config text. Each file is one server. `ports="free"`
    moves every loopback port to a free one, so that labs never collide; "well-known" keeps the
    files' own. `links="forwarded"` puts a forwarder between servers, so that links can be cut and
    delayed; with "direct", and on well-known ports, servers dial each other themselves, which is
    faster. `make_way` is called with the topology's name before anything of it is launched.

    Raises TopologyError or ConfigError, in the server's own words, when the topology is not
    usable within `timeout` seconds; then everything it had started is stopped.
    """
    if ports not in ("free", "well-known"):
        raise TopologyError(f'ports is {ports!r}; it can be "free" or "well-known"')
    if links not in ("forwarded", "direct"):
        raise TopologyError(f'links is {links!r}; it can be "forwarded" or "direct"')
    name, given = folders.locate(topology)
    path = given
    guard = Guard(name)
    try:
        made: credentials.Made = {}
        recipe = credentials.recipe_of(path) if path else None
        if path and recipe:
            path = folders.own_copy(path, guard.folder / "source")
            made = credentials.make(recipe, guard.folder / "source")
        planned = placement.plan(
            folders.read_files(topology if isinstance(topology, Mapping) else path)
        )
        program = binary.find()
        if make_way:
            make_way(name)
        sources = [p if p.is_dir() else p.parent for p in (path, given) if p]
        placement.copy_companions(sources, guard.folder, planned)
        dials.refuse_nobody(planned, placement.literal_ports(planned))
        forwarded = (ports, links) == ("free", "forwarded") and faults.to_forward(planned)
        breaker, events = faults.Faults(guard) if forwarded else None, Events()
        make = functools.partial(lab_class.server_class, binary=program, guard=guard, events=events)
        written = _Contexts(name, next(iter(made.values()), {}), guard)
        servers, port_map = launching.launch(
            planned, make, guard, ports, timeout, breaker, meanwhile=written.write
        )
        lab = lab_class(
            name, servers, guard, program, port_map, events, breaker, made, written.names
        )
        _RUNNING.append(lab)
        return lab
    except BaseException:
        guard.close()
        raise


class _Contexts:
    """The contexts by which `nats --context …` reaches a lab; their files go when the lab does.

    The first server's is called "lab". A leaf node, or whatever else is a NATS system of its own,
    has another, called "lab-" and its first server. `names` has that of each server.
    """

    def __init__(self, topology: str, login: dict[str, str], guard: Guard) -> None:
        self._topology, self._login, self._guard = topology, login, guard
        self._paths: dict[str, Path] = {}
        self.names: dict[str, str] = {}

    def write(self, servers: Mapping[str, ServerProcess]) -> None:
        """Write them with these servers' addresses, where somebody has that command line."""
        if not contexts.wanted():
            return
        for members in systems.systems(servers.values()):
            first = members[0]
            known = {**systems.encryption(first), **systems.login(first.planned), **self._login}
            urls = ",".join(server.url for server in members)
            before = self._paths.get(first.name)
            lab = next(iter(self.names.values()), None)
            name = f"{lab}-{first.name}" if lab else contexts.NAME
            try:
                path = contexts.write(
                    name, self._topology, {"url": urls, **known}, self._guard, before
                )
            except (OSError, contexts.ContextError):
                return  # a home that cannot be written is no reason not to start
            self._paths[first.name] = path
            self.names |= dict.fromkeys((server.name for server in members), path.stem)


def running() -> list[RunningTopology]:
    """The labs that this process has started and not stopped, newest last."""
    return list(_RUNNING)


def role(planned: PlannedServer) -> str:
    """What a server is in its topology, in a few words, as its file says it."""
    parts = []
    cluster = planned.setting("cluster", "name")
    if planned.has("cluster", "routes"):
        parts.append(f"in cluster {cluster}" if cluster else "in a cluster")
    if planned.has("gateway"):
        parts.append("gateway")
    if planned.has("leafnodes|leaf", "remotes"):
        parts.append("leaf")
    elif "leafnodes" in planned.addresses:
        parts.append("hub")
    if planned.jetstream:
        parts.append("JetStream")
    return ", ".join(parts) or "server"
