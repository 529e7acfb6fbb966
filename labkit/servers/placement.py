"""The private copy of a topology: every loopback address moved to a free one, every store moved.

A folder of server files names well-known ports, so that it also runs by hand. Here each literal
loopback port is mapped to a free one, the same way in every file, and each listener is kept on
loopback. Starts nothing.
"""

from __future__ import annotations

import os
import re
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from labkit.servers import config, credentials
from labkit.servers.config import ConfigFile, Edit, Setting
from labkit.servers.errors import ConfigError
from labkit.servers.ports import LOOPBACK

CLIENT_PORT = 4222  # nats-server's default
LOG_SIZE_LIMIT = 8_000_000  # bytes a log file, then nats-server rotates it
LOG_FILES = 2  # kept beside the current one
LARGEST_COMPANION = 1_000_000  # bytes of a certificate or key copied along with the server files
LONGEST_PATH = 250  # characters of one; what is longer is something else, a token for example

_HOST = r"127\.\d+\.\d+\.\d+|localhost|\[::1\]"
_ANY_HOST = r"0\.0\.0\.0|\[::\]"  # dialed, it leads to this machine
ADDRESS = re.compile(rf"(?<![\w.-])(?P<host>{_HOST}|{_ANY_HOST}):(?P<port>\d+)")
_LOOPBACK_HOST = re.compile(rf"{_HOST}|::1")
_LISTEN = re.compile(r"(?:(?P<host>\[[^\]]*\]|[^:]*):)?(?P<port>-?\d+)")
_MONITORING: tuple[str, ...] = ("http", "https", "http_port", "monitor_port", "https_port")
_BLOCKS = {
    "cluster": ("cluster",),
    "gateway": ("gateway",),
    "leafnodes": ("leafnodes", "leaf"),
    "websocket": ("websocket", "ws"),
    "mqtt": ("mqtt",),
}
_BLOCK_NAMES = tuple(name for names in _BLOCKS.values() for name in names)
_HOSTS = ("host", "net")
_LISTENS = ("listen", "port", *_HOSTS)  # keys of a block that say where it listens


@dataclass(frozen=True)
class Listener:
    """Where a server file makes the server listen; `port` as written there, None if it says none.

    `setting` holds the port, and the host too unless it stands in a setting of its own, `host`.
    """

    kind: str
    port: int | None
    file: ConfigFile
    setting: Setting | None
    host: Setting | None = None

    @property
    def where(self) -> str:
        """File and line, as errors name them."""
        return self.setting.where if self.setting else self.file.path.name


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
    copies: dict[str, ConfigFile] = field(default_factory=dict)

    def setting(self, *key: str) -> str | None:
        """What the server's file says under this key; None where it says nothing."""
        found = self.file.find(*key)
        return found.value if found else None

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
    loopback, and a listener that a file gives twice.
    """
    servers = [
        PlannedServer(_server_name(file, stem), file, find_listeners(file))
        for stem, file in files.items()
    ]
    _refuse_same_names([*beside, *servers])
    _refuse_same_addresses([*beside, *servers])
    return servers


def is_here(host: str) -> bool:
    """Whether this host is a loopback address, or 0.0.0.0, which leads to this machine when dialed."""
    return ADDRESS.fullmatch(f"[{host}]:1" if ":" in host else f"{host}:1") is not None


def _server_name(file: ConfigFile, stem: str) -> str:
    found = file.find("server_name")
    name = (found.value if found else None) or "-".join(stem.split())
    if not name or name.startswith(".") or set(name) & set("/\\"):
        where = found.where if found else file.path.name
        raise ConfigError(
            f"{where}: a server cannot be called {name!r}: files are named after it; "
            "use letters, digits, - and _"
        )
    return name


def find_listeners(file: ConfigFile) -> list[Listener]:
    """Every listener that the file opens, the client listener even where the file is silent.

    Raises ConfigError for one that is given twice, or could be reached from outside.
    """
    _refuse_twice(file)
    client = _listener(file, "client", ())
    found = [client or Listener("client", None, file, None, _only(file, ["host"], ["net"]))]
    for kind, names in {"http": _MONITORING, "profile": ("prof_port",)}.items():
        setting = _only(file, *([name] for name in names))
        if setting:
            found.append(Listener(kind, _port_of(setting), file, setting))
    for kind, names in _BLOCKS.items():
        block = _only(file, *([name] for name in names))
        listener = _listener(file, kind, block.key) if block else None
        if listener:
            found.append(listener)
    for listener in found:
        _refuse_outside(listener)
    return found


def _refuse_twice(file: ConfigFile) -> None:
    """Raise ConfigError when a file, or one that it includes, says twice where a listener is."""
    for earlier, later in file.twice:
        if _is_about_listener(later.key):
            raise ConfigError(
                f"{later.where}: {later.name} is given twice, first in {earlier.where}, and the "
                "server uses only one of them; keep the one that you mean"
            )


def _is_about_listener(key: config.Key) -> bool:
    if len(key) == 1:
        return key[0] in (*_LISTENS, *_MONITORING, "prof_port", *_BLOCK_NAMES)
    return len(key) == 2 and key[0] in _BLOCK_NAMES and key[1] in _LISTENS


def _only(file: ConfigFile, *keys: Iterable[str]) -> Setting | None:
    """The setting under one of these keys, of which a file may use one. Raises ConfigError for two."""
    found = [setting for key in keys if (setting := file.find(*key))]
    if len(found) > 1:
        first, second = sorted(found, key=lambda setting: setting.line)[:2]
        raise ConfigError(
            f"{second.where}: {first.name} ({first.where}) and {second.name} both say where the "
            "server listens, and it uses only one of them; keep the one that you mean"
        )
    return found[0] if found else None


def _listener(file: ConfigFile, kind: str, block: config.Key) -> Listener | None:
    inside = [str(part) for part in block]
    host = _only(file, *([*inside, name] for name in _HOSTS))
    if file.find(*inside, "listen"):
        setting = _only(file, *([*inside, name] for name in _LISTENS))
    else:
        setting = file.find(*inside, "port")
    return Listener(kind, _port_of(setting), file, setting, host) if setting else None


def _port_of(setting: Setting) -> int | None:
    """The literal port of a listen or port setting; None for "any free port" (-1 or 0)."""
    match = _LISTEN.fullmatch(setting.value or "")
    if match is None:
        unknown = (setting.value or "").startswith("$")
        raise ConfigError(
            f"{setting.where}: {setting.name} is {setting.value!r}"
            + (", which neither the file above it nor the environment defines" if unknown else "")
            + f"; write an address like {LOOPBACK}:{CLIENT_PORT} there, with its port as a number"
        )
    number = int(match["port"])
    if number > 65535:
        raise ConfigError(f"{setting.where}: {number} is no port; ports end at 65535")
    return number if number > 0 else None


def _refuse_outside(listener: Listener) -> None:
    """Only loopback: a lab is not to be reached from other machines. "" is moved to loopback."""
    match = _LISTEN.fullmatch((listener.setting and listener.setting.value) or "")
    for host, setting in (
        (match and match["host"], listener.setting),
        (listener.host and listener.host.value, listener.host),
    ):
        if host and setting and not _LOOPBACK_HOST.fullmatch(host):
            raise ConfigError(
                f"{setting.where}: the {listener.kind} listener on {host} could be reached from "
                f"outside this machine; a lab listens on {LOOPBACK} only. "
                f"Write {LOOPBACK} in place of {host}"
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
    server.copies = {}
    edits = _Edits()
    extra = [] if server.has("server_name") else [f"server_name: {config.quote(server.name)}"]
    for listener in server.listeners:
        port = port_map[listener.port] if listener.port else next(spare)
        server.addresses[listener.kind] = port
        extra += _move_listener(server, listener, port, edits)
    if "http" not in server.addresses:
        server.addresses["http"] = next(spare)
        extra.append(f"http: {LOOPBACK}:{server.addresses['http']}")
    for _, setting in server.file.everything():
        if not edits.has(setting):
            _move_addresses(setting, {**port_map, **server.dialed}, edits)
    extra += _move_paths(server, edits)
    _bring_accounts(server)
    text = _edited(server, server.file, server.config_path, edits)
    added = "\n".join(extra)
    text = text.rstrip("\n") + f"\n\n# added by labkit\n{added}\n"
    server.config_path.write_text(text, encoding="utf-8")


class _Edits:
    """What to change in each file."""

    def __init__(self) -> None:
        self._of: dict[ConfigFile, dict[tuple[int, int], str]] = defaultdict(dict)

    def has(self, setting: Setting) -> bool:
        return (setting.start, setting.end) in self._of[setting.file]

    def replace(self, setting: Setting, text: str) -> None:
        """Replace the setting's value. Raises ConfigError when it already has another new value."""
        if self._of[setting.file].setdefault((setting.start, setting.end), text) != text:
            raise ConfigError(
                f"{setting.where}: a variable puts this value in several places, and they need "
                "different values in the lab's private copy; write the value out in each place"
            )

    def change(self, file: ConfigFile, start: int, end: int, text: str) -> None:
        self._of[file][start, end] = text

    def of(self, file: ConfigFile) -> list[Edit]:
        return [Edit(*span, text) for span, text in self._of[file].items()]


def _move_listener(
    server: PlannedServer, listener: Listener, port: int, edits: _Edits
) -> Iterator[str]:
    """Give a listener its new port, on loopback; yields the line for one that has none in the file."""
    setting = listener.setting
    if listener.host:
        edits.replace(listener.host, LOOPBACK)
    if setting is None:
        yield f"port: {port}" if listener.host else f"listen: {LOOPBACK}:{port}"
        return
    more = ""
    if setting.name in ("listen", "http", "https"):
        edits.replace(setting, f"{LOOPBACK}:{port}")
    else:
        edits.replace(setting, str(port))
        if setting.name == "port" and not listener.host:
            more = f", host: {LOOPBACK}"
    dialed = server.dialed.get(listener.port or 0)
    block = [str(part) for part in setting.key[:-1]]
    if dialed and not server.has(*block, "advertise|cluster_advertise|leafnode_advertise"):
        more += f', advertise: "{LOOPBACK}:{dialed}"'  # or gossip would lead around the forwarder
    if more:
        file, at = setting.after
        edits.change(file, at, at, more)


def _move_addresses(setting: Setting, port_map: Mapping[int, int], edits: _Edits) -> None:
    """Change the addresses inside a value that are addresses of this topology."""
    if setting.value is None:
        return
    for match in ADDRESS.finditer(setting.file.text, setting.start, setting.end):
        new = port_map.get(int(match["port"]))
        if new is not None:
            edits.change(setting.file, *match.span("port"), str(new))
            if match["host"] != "localhost":  # a certificate may be for that name
                edits.change(setting.file, *match.span("host"), LOOPBACK)


def _move_paths(server: PlannedServer, edits: _Edits) -> Iterator[str]:
    """Let the server write into the run's folder only, and find the files in folders further up.

    Yields the lines for what the file does not say.
    """
    limits = {
        "logfile_size_limit|log_size_limit": LOG_SIZE_LIMIT,
        "logfile_max_num|log_max_num": LOG_FILES,
    }
    for names, limit in limits.items():
        if found := server.file.find(names):
            edits.replace(found, str(limit))
        else:
            yield f"{names.partition('|')[0]}: {limit}"
    written = set()
    for _, setting in server.file.everything():
        target = setting.value and _written_path(server, setting.key)
        if target:
            written.add(target)
            edits.replace(setting, config.quote(str(target)))
        elif setting.value and (above := _file_above(server, setting.value)):
            edits.replace(setting, config.quote(above.as_posix()))
    if server.log_path not in written:
        yield f"log_file: {config.quote(str(server.log_path))}"
    if server.store_path not in written and server.jetstream:
        yield f"store_dir: {config.quote(str(server.store_path))}"


def _written_path(server: PlannedServer, key: config.Key) -> Path | None:
    """Where the server is to write what this setting names a path for; None for any other setting."""
    match key:
        case (*_, "store_dir" | "storedir") | ("jetstream", "store"):
            return server.store_path
        case ("log_file" | "logfile",):
            return server.log_path
        case ("pid_file" | "pidfile",):
            return server.log_path.with_suffix(".pid")
        case ("ports_file_dir",):
            return server.log_path.parent
        case ("resolver" | "account_resolver" | "accounts_resolver", "dir"):
            return server.store_path.with_name(f"{server.name}-accounts")
        case ("ocsp_cache", "local_store"):
            return server.store_path.with_name(f"{server.name}-ocsp")
        case ("jetstream", "tpm", "keys_file"):
            return server.store_path.with_name(f"{server.name}-tpm")
    return None


def _file_above(server: PlannedServer, value: str) -> Path | None:
    """The file that a value like ../certs/ca.pem names, seen from the server file's folder."""
    if len(value) >= LONGEST_PATH or ".." not in Path(value).parts:
        return None
    path = (server.file.path.parent / value).resolve()
    return path if path.is_file() else None


def _edited(server: PlannedServer, file: ConfigFile, path: Path, edits: _Edits) -> str:
    """The file's text for the private copy at `path`; what it includes is written beside that."""
    server.copies[path.name] = file
    own = edits.of(file)
    for number, included in enumerate(file.includes, start=1):
        target = path.with_name(f"{path.stem}-include-{number}.conf")
        text = _edited(server, included, target, edits)
        if not included.pasted:
            target.write_text(text, encoding="utf-8")
            text = config.quote(target.name)
        own.append(Edit(*included.included_at, text))
    return config.apply(file.text, own)


def _bring_accounts(server: PlannedServer) -> None:
    """Copy the accounts that a resolver's folder holds to where the private copy keeps them."""
    for names in ("resolver", "account_resolver", "accounts_resolver"):
        source = server.setting(names, "dir")
        target = _written_path(server, (names, "dir"))
        if source and target and not target.exists():
            target.mkdir(parents=True, mode=0o700)
            for path in (server.file.path.parent / source).glob("*.jwt"):
                shutil.copy2(path, target / path.name)


def copy_companions(
    sources: Iterable[Path], folder: Path, servers: Iterable[PlannedServer]
) -> None:
    """Copy the files that the server files name (certificates, keys) beside their copies.

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
            name = setting.value or ""
            found = [source / name for source in sources if _is_named(source, name)]
            if found and not (target / name).exists():
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(found[0], target / name)


def _is_named(source: Path, name: str) -> bool:
    """Whether a value names a companion in `source`, like ./certs/ca.pem."""
    if not name or len(name) >= LONGEST_PATH or not os.path.isfile(os.path.join(source, name)):  # noqa: PTH113, PTH118 - quick
        return False
    path = Path(name)
    if path.is_absolute() or ".." in path.parts:
        return False
    return (source / path).is_file() and (source / path).stat().st_size <= LARGEST_COMPANION
