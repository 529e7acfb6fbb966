"""The private copy of a topology: every loopback address moved to a free one, every store moved.

A folder of server files names well-known ports, so that it also runs by hand. Here each literal
loopback port is mapped to a free one, the same way in every file, and each listener is kept on
loopback. Starts nothing.
"""

from __future__ import annotations

import difflib
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from labkit.servers import config, credentials
from labkit.servers.config import ConfigFile, Edit, Setting
from labkit.servers.errors import ConfigError
from labkit.servers.ports import LOOPBACK, is_free

CLIENT_PORT = 4222  # nats-server's default
LOG_SIZE_LIMIT = 8_000_000  # bytes a log file, then nats-server rotates it
LOG_FILES = 2  # kept beside the current one
LARGEST_COMPANION = 1_000_000  # bytes of a certificate or key copied along with the server files
LONGEST_PATH = 250  # characters of one; what is longer is something else, a token for example

ADDRESS = re.compile(r"(?P<host>127\.\d+\.\d+\.\d+|localhost|\[::1\]):(?P<port>\d+)")
_NO_PORT = re.compile(r"(?:[\w+-]+://)(?:[^@/]*@)?(?P<host>127\.\d+\.\d+\.\d+|localhost|\[::1\])/?")
_LOOPBACK_HOST = re.compile(r"127\.\d+\.\d+\.\d+|localhost|\[?::1\]?")
_LISTEN = re.compile(r"(?:(?P<host>\[[^\]]*\]|[^:]*):)?(?P<port>-?\d+)")
_BLOCKS = {
    "cluster": "cluster",
    "gateway": "gateway",
    "leafnodes|leaf": "leafnodes",
    "websocket|ws": "websocket",
    "mqtt": "mqtt",
}
_DIALS = ("routes", "url", "urls")


@dataclass(frozen=True)
class Listener:
    """Where a server file makes the server listen; `port` as written there, None if it says none."""

    kind: str
    port: int | None
    file: ConfigFile
    setting: Setting | None

    @property
    def where(self) -> str:
        """File and line, as errors name them."""
        return self.file.where(self.setting) if self.setting else self.file.path.name


@dataclass
class PlannedServer:
    """A server file with what it says about listeners, and the addresses it got in the private copy."""

    name: str
    file: ConfigFile
    listeners: list[Listener]
    addresses: dict[str, int] = field(default_factory=dict)
    port_map: dict[int, int] = field(default_factory=dict)
    dialed: Mapping[int, int] = field(default_factory=dict)
    config_path: Path = Path()
    log_path: Path = Path()
    store_path: Path = Path()

    def setting(self, *key: str) -> str | None:
        """The value under this key in the server's file, without quotes, or what its variable stands
        for; None where it says nothing."""
        found = self.file.find(*key)
        return self.file.meant(found[1]) if found else None

    def has(self, *key: str) -> bool:
        """Whether the server's file has this key or block."""
        return self.file.find(*key) is not None

    @property
    def jetstream(self) -> bool:
        """Whether the file turns JetStream on."""
        value = self.setting("jetstream")
        if value is None:
            return self.has("jetstream") and self.setting("jetstream", "enabled") != "false"
        return value.lower() in ("enabled", "enable", "true")


def plan(files: dict[str, ConfigFile], beside: Iterable[PlannedServer] = ()) -> list[PlannedServer]:
    """What each file says about its listeners, checked against each other and those `beside`.

    Raises ConfigError for two servers with one address or one name, an address that is not
    loopback, and a route, gateway or remote that no server of the topology listens for.
    """
    servers = [
        PlannedServer(_server_name(file, stem), file, find_listeners(file))
        for stem, file in files.items()
    ]
    _refuse_same_names([*beside, *servers])
    _refuse_same_addresses([*beside, *servers])
    return servers


def _server_name(file: ConfigFile, stem: str) -> str:
    found = file.find("server_name")
    name = (file.meant(found[1]) if found else None) or stem
    if not name or name.startswith(".") or set(name) & set("/\\"):
        where = found[0].where(found[1]) if found else file.path.name
        raise ConfigError(
            f"{where}: a server cannot be called {name!r}: files are named after it; "
            "use letters, digits, - and _"
        )
    return name


def find_listeners(file: ConfigFile) -> list[Listener]:
    """Every listener that the file opens, the client listener even where the file is silent."""
    client = _listener(file, "client", ("listen",), ("port",)) or Listener(
        "client", None, file, None
    )
    found = [client]
    monitor = _listener(file, "http", ("http|https",), ("http_port|monitor_port|https_port",))
    if monitor:
        found.append(monitor)
    for spellings, kind in _BLOCKS.items():
        block = _listener(file, kind, (spellings, "listen"), (spellings, "port"))
        if block:
            found.append(block)
    return found


def _listener(
    file: ConfigFile, kind: str, listen: tuple[str, ...], port: tuple[str, ...]
) -> Listener | None:
    told = [found for key in (listen, port) if (found := file.find(*key))]
    if len(told) == 2:
        (first, one), (second, other) = told
        raise ConfigError(
            f"{second.where(other)}: {one.name} ({first.where(one)}) and {other.name} both say "
            f"where the {kind} listener is, and the server takes either; keep one of them"
        )
    for owner, setting in told:
        _refuse_outside(file, owner, setting, kind, listen[:-1])
        return Listener(kind, _port_of(owner, setting), owner, setting)
    return None


def _port_of(file: ConfigFile, setting: Setting) -> int | None:
    """The literal port of a listen or port setting; None for "any free port" (-1 or 0)."""
    match = _LISTEN.fullmatch(setting.value or "")
    if match is None:
        raise ConfigError(
            f"{file.where(setting)}: {setting.name} is {setting.value!r}; write an address "
            f"like {LOOPBACK}:{CLIENT_PORT} there, with its port as a number"
        )
    number = int(match["port"])
    if number > 65535:
        raise ConfigError(f"{file.where(setting)}: {number} is no port; ports end at 65535")
    return number if number > 0 else None


def _refuse_outside(
    top: ConfigFile, file: ConfigFile, setting: Setting, kind: str, block: tuple[str, ...]
) -> None:
    """Only loopback: a lab is not to be reached from other machines."""
    match = _LISTEN.fullmatch(setting.value or "")
    host = (match["host"] if match else None) or ""
    if not host and setting.name not in ("listen", "http", "https"):
        beside = top.find(*block, "host|net")
        host = (beside[1].value if beside else "") or ""
    if host and not _LOOPBACK_HOST.fullmatch(host):
        raise ConfigError(
            f"{file.where(setting)}: the {kind} listener on {host} could be reached from outside "
            f"this machine; a lab listens on {LOOPBACK} only. Write {LOOPBACK} in place of {host}"
        )


def _refuse_same_names(servers: list[PlannedServer]) -> None:
    seen: dict[str, PlannedServer] = {}
    for server in servers:
        other = seen.setdefault(server.name, server)
        if other is not server:
            raise ConfigError(
                f"{other.file.path.name} and {server.file.path.name} both name their server "
                f"{server.name!r}; give each server_name once"
            )


def _refuse_same_addresses(servers: list[PlannedServer]) -> None:
    seen: dict[int, tuple[PlannedServer, Listener]] = {}
    for server in servers:
        for listener in server.listeners:
            port = listener.port
            if port is None:
                continue
            if port in seen:
                other, first = seen[port]
                raise ConfigError(
                    f"{listener.where}: the {listener.kind} listener of {server.name} and the "
                    f"{first.kind} listener of {other.name} ({first.where}) both use port {port}; "
                    "give each listener its own"
                )
            seen[port] = server, listener


def literal_ports(servers: Iterable[PlannedServer]) -> set[int]:
    """The ports that the files name for listeners: those that the private copy maps."""
    return {listener.port for server in servers for listener in server.listeners if listener.port}


def refuse_unknown_remotes(servers: list[PlannedServer], known: Iterable[int]) -> None:
    """Raise ConfigError for a route, gateway or remote on loopback that nobody listens for.

    A port on which another program listens at this moment, a hub by hand for example, is meant as it is.
    """
    ports = set(known)
    for server in servers:
        for file, setting in server.file.everything():
            if not _is_dial(setting):
                continue
            silent = _NO_PORT.fullmatch(setting.value or "")
            if silent:
                raise ConfigError(
                    f"{file.where(setting)}: {setting.value} names no port, so that it cannot be "
                    f"moved with the server that it means; write for example {silent['host']}:7422"
                )
            match = ADDRESS.search(setting.value or "")
            if match and int(match["port"]) not in ports and is_free(int(match["port"])):
                near = difflib.get_close_matches(match["port"], [str(p) for p in ports], 1, 0.7)
                raise ConfigError(
                    f"{file.where(setting)}: no server of this topology listens on {match[0]}"
                    + (f"; is {near[0]} meant?" if near else f"; they listen on {sorted(ports)}")
                )


def _is_dial(setting: Setting) -> bool:
    return setting.value is not None and setting.name in _DIALS and len(setting.key) > 1


def place(
    server: PlannedServer,
    folder: Path,
    port_map: dict[int, int],
    spare: Iterator[int],
    dialed: Mapping[int, int] | None = None,
) -> None:
    """Write the server's private copy below `folder` and note its addresses.

    `port_map` gives the port for each literal one, `spare` free ports for listeners without one,
    `dialed` the ports that others dial in place of those of `port_map`, where a forwarder stands.
    """
    server.port_map, server.dialed = port_map, dialed or {}
    server.config_path = folder / "config" / f"{server.name}.conf"
    server.log_path = folder / f"{server.name}.log"
    server.store_path = folder / "store" / server.name
    server.config_path.parent.mkdir(parents=True, exist_ok=True)
    edits: dict[int, list[Edit]] = {id(file): [] for file in server.file.files()}
    extra = [] if server.has("server_name") else [f"server_name: {config.quote(server.name)}"]
    moved: set[int] = set()
    for listener in server.listeners:
        port = port_map[listener.port] if listener.port else next(spare)
        server.addresses[listener.kind] = port
        if listener.setting is None:
            extra.append(f"listen: {LOOPBACK}:{port}")
        else:
            edits[id(listener.file)].append(_listener_edit(server, listener, port))
            moved.add(id(listener.setting))
    if "http" not in server.addresses:
        server.addresses["http"] = next(spare)
        extra.append(f"http: {LOOPBACK}:{server.addresses['http']}")
    for file, setting in server.file.everything():
        if setting.value is not None and id(setting) not in moved:
            edits[id(file)].extend(_address_edits(file, setting, {**port_map, **server.dialed}))
    extra += _own_folders(server, edits)
    _write(server.file, server.config_path, edits, extra)


def _listener_edit(server: PlannedServer, listener: Listener, port: int) -> Edit:
    """The listener's address with the new port; its host made loopback where the file says none."""
    setting = listener.setting
    assert setting is not None
    match = _LISTEN.fullmatch(setting.value or "")
    assert match is not None
    block = [str(part) for part in setting.key[:-1]]
    if setting.name in ("listen", "http", "https"):
        host = match["host"] or LOOPBACK
        text = f"{LOOPBACK if ':' in host else host}:{port}"  # one family for all of a lab
    else:
        alone = server.has(*block, "host|net") or setting.name != "port"
        text = f"{port}" if alone else f"{port}, host: {LOOPBACK}"
    dialed = server.dialed.get(listener.port or 0)
    if dialed and not server.has(*block, "advertise"):
        text += f', advertise: "{LOOPBACK}:{dialed}"'  # or gossip would lead around the forwarder
    return Edit(setting.start, setting.end, text)


def _address_edits(file: ConfigFile, setting: Setting, port_map: dict[int, int]) -> Iterator[Edit]:
    """The ports of loopback addresses inside a value, where they are addresses of this topology."""
    for match in ADDRESS.finditer(file.text, setting.start, setting.end):
        new = port_map.get(int(match["port"]))
        if new is not None:
            yield Edit(*match.span("port"), str(new))
            if ":" in match["host"]:
                yield Edit(*match.span("host"), LOOPBACK)


def _own_folders(server: PlannedServer, edits: dict[int, list[Edit]]) -> list[str]:
    """Move store and log into the run's folder; returns the lines that say what the file does not."""
    values = {
        "store_dir|storedir": ("store_dir", config.quote(str(server.store_path))),
        "log_file|logfile": ("log_file", config.quote(str(server.log_path))),
        "logfile_size_limit|log_size_limit": ("logfile_size_limit", str(LOG_SIZE_LIMIT)),
        "logfile_max_num|log_max_num": ("logfile_max_num", str(LOG_FILES)),
    }
    missing = []
    for spellings, (name, value) in values.items():
        names = spellings.split("|")
        found = [(f, s) for f, s in server.file.everything() if s.name in names and s.value]
        for file, setting in found:
            edits[id(file)].append(Edit(setting.start, setting.end, value))
        if not found and (name != "store_dir" or server.jetstream):
            missing.append(f"{name}: {value}")
    return missing


def _write(file: ConfigFile, path: Path, edits: dict[int, list[Edit]], extra: list[str]) -> None:
    """Write the edited file and, beside it, the edited files that it includes."""
    own = edits[id(file)]
    for number, included in enumerate(file.includes, start=1):
        target = path.with_name(f"{path.stem}-include-{number}.conf")
        own.append(Edit(*included.included_at, config.quote(target.name)))
        _write(included, target, edits, [])
    text = config.apply(file.text, own)
    if extra:
        text = text.rstrip("\n") + "\n\n# added by labkit\n" + "\n".join(extra) + "\n"
    path.write_text(text, encoding="utf-8")


def copy_companions(
    sources: Iterable[Path], folder: Path, servers: Iterable[PlannedServer]
) -> None:
    """Copy what the server files name (certificates, keys, a resolver's folder) beside their copies.

    A name is looked for in each of `sources` in turn. Nothing else of those folders is copied, but
    for what labkit has made in one of them.
    """
    target, sources = folder / "config", list(sources)
    target.mkdir(parents=True, exist_ok=True)
    for made in (source / credentials.MADE for source in sources):
        if made.is_dir() and not (target / credentials.MADE).exists():
            shutil.copytree(made, target / credentials.MADE)
    for server in servers:
        for _, setting in server.file.everything():
            name = server.file.meant(setting) or ""
            found = [source / name for source in sources if _is_named(source, name, setting)]
            if found and not (target / name).exists():
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                copy = shutil.copytree if found[0].is_dir() else shutil.copy2
                copy(found[0], target / name)


def _is_named(source: Path, name: str, setting: Setting) -> bool:
    """Whether a value names a companion in `source`, like ./certs/ca.pem: a file, or a resolver's folder."""
    path = Path(name)
    if not name or len(name) >= LONGEST_PATH or path.is_absolute() or ".." in path.parts:
        return False
    if setting.key == ("resolver", "dir"):
        return path != Path() and (source / path).is_dir()
    return (source / path).is_file() and (source / path).stat().st_size <= LARGEST_COMPANION
