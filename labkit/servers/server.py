"""One server of a lab: its address, its process, its log, and what can be done to it."""

from __future__ import annotations

import contextlib
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from labkit.servers import config, listening, placement, ports, system_account
from labkit.servers.binary import Binary
from labkit.servers.blocking import blocking_method
from labkit.servers.config import ConfigFile
from labkit.servers.errors import ConfigError, ServerStateError, TopologyError
from labkit.servers.events import Events
from labkit.servers.log import Log
from labkit.servers.placement import PlannedServer
from labkit.servers.ports import LOOPBACK, holder
from labkit.servers.probe import fetch, fetch_encrypted, read_info
from labkit.servers.processes import Guard, Process
from labkit.servers.wait import wait_until

START_TIMEOUT = 15.0  # seconds, for a server or topology to be usable
STOP_TIMEOUT = 5.0  # seconds, for a polite stop; then the process is killed

MONITOR_TIMEOUT = 5.0  # seconds

_FILE_LINE = re.compile(
    r"(?:[^\s:]*[/\\])?(?P<file>[^\s:/\\]+\.conf):(?P<line>\d+)(?::\d+)?:\s*(?P<text>.*)"
)

_INCLUDED = re.compile(r"error parsing include file '([^']+)', ")


class ServerProcess:
    """A nats-server of a lab, by its name in its file. Stopped and started, it keeps address and store."""

    def __init__(
        self, planned: PlannedServer, binary: Binary, guard: Guard, events: Events | None = None
    ) -> None:
        self.planned, self.name = planned, planned.name
        self._binary, self._guard = binary, guard
        self._events = Events() if events is None else events
        self._process: Process | None = None
        self._asked_to_end = False
        self._paused = False
        self._id: str | None = None  # of the process that runs, as it greets
        self.log = Log(planned.log_path, planned.log_path.with_suffix(".printed"))

    @property
    def url(self) -> str:
        """Where clients connect, for example "nats://127.0.0.1:15123"."""
        return f"nats://{self.address('client')}"

    @property
    def websocket_url(self) -> str:
        """Where clients connect over WebSocket; raises ServerStateError without such a listener."""
        encrypted = self.planned.has("websocket|ws", "tls")
        return f"{'wss' if encrypted else 'ws'}://{self.address('websocket')}"

    def address(self, kind: str) -> str:
        """Host and port of a listener: "client", "http", "cluster", "gateway", "leafnodes", "websocket"."""
        port = self.planned.addresses.get(kind)
        if port is None:
            raise ServerStateError(
                f"{self.planned.file.path.name} gives {self.name} no {kind} listener; "
                f"it has {', '.join(self.planned.addresses)}"
            )
        return f"{LOOPBACK}:{port}"

    @property
    def config(self) -> str:
        """The server's file as it was written, with its own addresses."""
        return self.planned.file.text

    @blocking_method
    def monitor(self, endpoint: str, /, **options: Any) -> dict[str, Any]:
        """What a monitoring endpoint says, for example `monitor("connz", subs="detail")`.

        Endpoints and their options: https://docs.nats.io/running-a-nats-service/nats_admin/monitoring.
        Raises ServerStateError when the server does not answer within 5 s.
        """
        from urllib.parse import urlencode

        query = urlencode({key: _as_query(value) for key, value in options.items()})
        base = (self.planned.setting("http_base_path") or "").strip("/")
        path = f"/{base}/{endpoint}?{query}" if base else f"/{endpoint}?{query}"
        encrypted = self.planned.has("https") or self.planned.has("https_port")
        ask = fetch_encrypted if encrypted else fetch
        try:
            return ask(self.planned.addresses["http"], path, MONITOR_TIMEOUT)
        except (OSError, ValueError) as error:
            raise ServerStateError(
                f"{self.name} does not answer /{endpoint} ({error}); it is {self.state}"
            ) from None

    @property
    def pid(self) -> int | None:
        """The process id; None while the server does not run."""
        return self._process.pid if self._process and self._process.alive else None

    @property
    def state(self) -> str:
        """One of "running", "paused", "stopped" (asked to), "exited" (by itself or killed from outside)."""
        if self._process and self._process.alive:
            return "paused" if self._paused else "running"
        return "stopped" if self._process is None or self._asked_to_end else "exited"

    @property
    def encrypts_first(self) -> bool:
        """Whether the server is silent until TLS is set up; then clients must not wait for its INFO."""
        return config.is_true(self._handshake_first)

    @property
    def _handshake_first(self) -> str | None:
        return self.planned.setting("tls", "handshake_first|first|immediate")

    def launch(self) -> None:
        """Start the process and return at once, before it answers."""
        launch_all([self], self._guard)

    def _ask_for_process(self) -> Process:
        if self._process and self._process.alive:
            raise ServerStateError(
                f"{self.name} is {self.state} already; to start it anew: lab[{self.name!r}].restart()"
            )
        self.log.begin()
        self._asked_to_end = self._paused = False
        self._id = None
        self._process = self._guard.start(
            self.name,
            [self._binary.path, "-c", str(self.planned.config_path)],
            cwd=self.planned.config_path.parent,
            output=self.log.printed,
        )
        return self._process

    def refuse_dead(self) -> None:
        """Raise TopologyError, with what the server said, when its process has ended."""
        if self._process is None or not self._process.alive:
            if self._asked_to_end:
                raise TopologyError(
                    f"server {self.name} is stopped; start it with lab[{self.name!r}].start()"
                )
            raise TopologyError(self.why_it_ended())

    def answers(self) -> bool:
        """Whether the server greets a client now; raises TopologyError when its process has ended."""
        self.refuse_dead()
        if self._handshake_first not in (None, "false", "no", "off"):  # "auto" greets late
            return self._id is not None or self._is_ready()
        server_id = read_info(self.planned.addresses["client"]).get("server_id")
        # The id must be the one in this server's own log: another server may have taken the port.
        if (
            self._id is None
            and server_id
            and any(server_id in n for n in self.log.since_start("ID:"))
        ):
            self._id = server_id  # kept, for the log goes on and forgets its beginning
        return server_id is not None and server_id == self._id

    def _is_ready(self) -> bool:
        """Whether the server, which greets only under encryption, says so in its log."""
        self._id = "ready" if self.log.since_start("Server is ready") else None
        return self._id is not None

    @blocking_method
    def start(self) -> None:
        """Start a stopped server at its old address with its old store; returns when it answers."""
        self.launch()
        self._events.note("start", self.name)
        wait_until(self.answers, START_TIMEOUT, f"server {self.name} to answer")

    @blocking_method
    def stop(self) -> None:
        """Ask the server to end, wait until it has; killed after 5 s. Stopping again does no harm."""
        self._end("stop")

    @blocking_method
    def kill(self) -> None:
        """End the server at once, as a crash would; its clients see the connection break."""
        self._end("kill")

    @blocking_method
    def restart(self) -> None:
        """Stop and start: same address, same store. Returns when the server answers."""
        self.stop()
        self.start()

    @blocking_method
    def pause(self) -> None:
        """Freeze the process: connections stay open and nothing is answered, as on a hung machine."""
        control = self._running_process().control()
        self._events.note("pause", self.name)
        control.suspend()
        wait_until(lambda: control.status() == "stopped", STOP_TIMEOUT, f"{self.name} to freeze")
        self._paused = True

    @blocking_method
    def resume(self) -> None:
        """Let a paused server go on."""
        self._running_process().control().resume()
        self._events.note("resume", self.name)
        self._paused = False

    @blocking_method
    def reload(self, text: str | None = None) -> None:
        """Give the running server a changed file (or its own once more) without ending connections.

        Returns when the server says that it has taken it. Raises ConfigError in the server's own
        words when it refuses; it then goes on with the file that it had. Raises TopologyError, and
        ends the server, when it then listens elsewhere than labkit asked it to.
        """
        self._refuse_paused()
        reload = self._reload_by_signal if sys.platform != "win32" else self._way_without_signal()
        before, old_text = self.planned.file, self.planned.config_path.read_text("utf-8")
        addresses = dict(self.planned.addresses)
        if text is not None:
            changed = config.read(before.path, text)
            self.planned.listeners = placement.find_listeners(changed)
            self.planned.file = changed
            try:
                self._place_again(addresses)
            except ConfigError:
                self._take_back(before, addresses, old_text)
                raise
        answer = reload()
        if "Failed" in answer:
            refused = self._in_original_words(answer)
            self._take_back(before, addresses, old_text)
            raise ConfigError(f"{self.name} keeps the file that it had: {refused}")
        listening.refuse_other([self])

    def _take_back(self, file: ConfigFile, addresses: dict[str, int], copy: str) -> None:
        """Make the file and its private copy what they were before a reload that failed."""
        self.planned.file, self.planned.addresses = file, addresses
        self.planned.listeners = placement.find_listeners(file)
        self.planned.config_path.write_text(copy, "utf-8")

    def _place_again(self, before: dict[str, int]) -> None:
        """Write the private copy of a changed file; listeners keep the ports that they have."""
        planned, self.planned.addresses = self.planned, {}
        kinds = [listener.kind for listener in planned.listeners if listener.port is None]
        if all(listener.kind != "http" for listener in planned.listeners):
            kinds.append("http")
        spare = iter([before.get(kind) or ports.free_ports(1)[0] for kind in kinds])
        literal = placement.literal_ports([planned]) - planned.port_map.keys()
        new = dict(zip(sorted(literal), ports.free_ports(len(literal)), strict=True))
        placement.place(planned, self._guard.folder, planned.port_map | new, spare, planned.dialed)

    def _reload_by_signal(self) -> str:
        """Have the server read its file again; returns what it says then in its log."""
        said = self._reload_words()[-1:]
        self.signal("SIGHUP")
        wait_until(
            lambda: self._reload_words()[-1:] not in ([], said),
            STOP_TIMEOUT,
            f"{self.name} to reload",
        )
        return self._reload_words()[-1]

    def _way_without_signal(self) -> Callable[[], str]:
        """How the server is made to read its file again through its system account.

        Raises ServerStateError when its file has no login for that.
        """
        user = system_account.login(self.planned.file)
        if user is None:
            raise ServerStateError(
                f"{self.name} can't be reloaded here: Windows has no SIGHUP, and the other way is to "
                "ask as a user of the system account. "
                f"{self.planned.file.path.name} has no such user with a password. Add one "
                "(accounts { SYS { users: [ { user: admin, password: … } ] } } and "
                "system_account: SYS), or stop the lab and start it with "
                "the changed file"
            )

        def ask() -> str:
            refusal = system_account.reload(self.planned.addresses["client"], user)
            return f"Failed to reload: {refusal}" if refusal else "Reloaded"

        return ask

    def _reload_words(self) -> list[str]:
        return self.log.find("Reloaded server configuration|Failed to reload server configuration")

    @blocking_method
    def lame_duck(self) -> None:
        """Let the server take leave: it tells its clients to go elsewhere, then ends by itself.

        How long it waits says lame_duck_grace_period (10 s unless the file says otherwise).
        """
        self.signal("SIGUSR2")
        self._events.note("lame duck", self.name)
        self.expect_end()

    @blocking_method
    def signal(self, name: str) -> None:
        """Send a signal by its POSIX name, for example "SIGHUP" (reload) or "SIGUSR2" (lame duck).

        Raises ServerStateError on Windows, which has none.
        """
        if sys.platform == "win32":
            raise ServerStateError(
                f"{self.name} takes no {name}: Windows has no such signals, and `nats-server "
                f"--signal` reaches only Windows services. lab[{self.name!r}].stop() ends it"
            )
        self._refuse_paused()
        self._running_process().control().send_signal(signal.Signals[name])

    def _refuse_paused(self) -> None:
        self._running_process()
        if self._paused:
            raise ServerStateError(
                f"{self.name} is paused and hears nothing; lab[{self.name!r}].resume() first"
            )

    def _running_process(self) -> Process:
        if self._process is None or not self._process.alive:
            raise ServerStateError(
                f"{self.name} does not run ({self.state}); start it with lab[{self.name!r}].start()"
            )
        return self._process

    def expect_end(self) -> None:
        """Note that the process is about to be ended on purpose, so that it counts as stopped."""
        self._asked_to_end = True

    def _end(self, how: str) -> None:
        process = self._process
        if process is None or not process.alive:
            return
        self.expect_end()
        self._events.note(how, self.name)
        import psutil

        with contextlib.suppress(psutil.NoSuchProcess):  # it ends by itself at this moment
            control = process.control()
            if how == "kill":
                control.kill()  # also when it is paused: it must not act once more
            else:
                if self._paused:
                    control.resume()
                control.terminate()
            self._paused = False
            if not self._guard.wait_exit(process, STOP_TIMEOUT):
                control.kill()
        self._guard.wait_exit(process, STOP_TIMEOUT)

    def why_it_ended(self) -> str:
        """What the server said before it ended, with its own file's name and line, and the next step."""
        said = [self._in_original_words(line) for line in self.log.complaints()]
        port = self.port_in_use()
        if port:
            return f"server {self.name} cannot listen: {taken(port)}"
        code = self._process.exit if self._process else None
        heading = f"server {self.name} ended at its start (exit code {code})"
        return "\n".join([f"{heading}. It said:", *(f"  {line}" for line in said)])

    def port_in_use(self) -> int | None:
        """The port that the server found taken, as its log tells it; None for any other trouble."""
        for line in self.log.since_start(
            "address already in use|Only one usage of each socket address"
        ):
            ports = re.findall(r":(\d+)\b", line)
            if ports:
                return int(ports[-1])
        return None

    def _in_original_words(self, line: str) -> str:
        """A line of the log without its clock, the private copy's name replaced by the file's own."""
        line = re.sub(r"^\[\d+\] \S+ \S+ ", "", line).removeprefix("nats-server: ").strip()
        files = self.planned.copies
        included = _INCLUDED.findall(line)
        file = files.get(included[-1] if included else "", self.planned.file)
        line = _INCLUDED.sub("", line)
        found = _FILE_LINE.search(line)
        if found:
            file = files.get(found["file"], file)
            return _quote(file, int(found["line"]), found["text"] or line)
        number = re.search(r"\bon line (\d+)", line)
        if number:
            return _quote(file, int(number[1]), line)
        for named in re.findall(r'"([^"]+)"', line):  # what it complains of, where it stands
            for file in self.planned.file.files():
                if named in file.text:
                    return _quote(file, file.text.count("\n", 0, file.text.index(named)) + 1, line)
        return f"{self.planned.file.path.name}: {line}"

    def __repr__(self) -> str:
        return f"<server {self.name}: {self.state}, {self.url}>"


def _quote(file: ConfigFile, number: int, text: str) -> str:
    """What the server says of a line, with the file's name and the line itself."""
    lines = file.text.splitlines() or [""]
    number = min(number, len(lines))  # "unexpected end" is told of the lines that labkit added
    offending = lines[number - 1].strip()
    return f"{file.path.name}:{number}: {text}" + (f"   | {offending}" if offending else "")


def launch_all(servers: Iterable[ServerProcess], guard: Guard) -> None:
    """Start the processes of a lab's servers side by side, and return before they answer."""
    with _LAUNCHING:
        guard.wait_started([server._ask_for_process() for server in servers])


_LAUNCHING = threading.Lock()  # threads that start one server see which of them came first


def taken(port: int) -> str:
    """The sentence for a port that somebody else listens on."""
    by = holder(port)
    return (
        f"{LOOPBACK}:{port} is taken{' by ' + by if by else ''}. "
        'Stop that process, or start the lab with ports="free"'
    )


def _as_query(value: object) -> str:
    """A value as the monitoring endpoints want it: booleans as 1 and 0."""
    return str(int(value)) if isinstance(value, bool) else str(value)
