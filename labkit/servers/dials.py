"""The addresses that server files dial, in routes, gateways and remotes: is anybody there?

A server whose calls nobody answers tries again and again, and its topology never becomes usable.
This says so at once, with file and line. Starts nothing.
"""

from __future__ import annotations

import difflib
import functools
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from labkit.servers import config, placement
from labkit.servers.config import Setting
from labkit.servers.errors import ConfigError
from labkit.servers.placement import PlannedServer
from labkit.servers.ports import LOOPBACK, is_free

ANSWER_TIMEOUT = 2.0  # seconds, for all addresses outside this lab together
LEAF_PORT = 7422  # nats-server's default for a remote; routes and gateways have none
_REMOTES = ("leafnodes", "leaf")
_BLOCKS = ("cluster", "gateway", *_REMOTES)
_DIALS = ("routes", "url", "urls")

Address = tuple[str, int]


def refuse_nobody(servers: Iterable[PlannedServer], known: Iterable[int]) -> None:
    """Raise ConfigError for an address at which nobody can be reached.

    `known` are the ports, as written, on which the topology's servers listen. Where another
    program listens at this moment, a hub by hand for example, that one is meant.
    """
    ports = set(known)
    outside: dict[Address, Setting] = {}
    for server in servers:
        for setting, (host, port) in _dialed(server):
            if not placement.is_here(host):
                outside.setdefault((host, port), setting)
            elif port not in ports and is_free(port):
                raise ConfigError(
                    f"{setting.where}: no server of this topology listens on {_shown(host, port)}"
                    + _instead(port, ports)
                )
    _refuse_silent(outside, ports)


def _instead(port: int, ports: set[int]) -> str:
    near = difflib.get_close_matches(str(port), [str(p) for p in ports], 1, 0.7)
    if near:
        return f"; is {near[0]} meant?"
    return f"; they listen on {sorted(ports)}" if ports else ""


def _dialed(server: PlannedServer) -> Iterator[tuple[Setting, Address]]:
    """Each address that the file dials. Raises ConfigError for one without a port."""
    settings = [setting for _, setting in server.file.everything()]
    unused = {s.key[:-1] for s in settings if s.name == "disabled" and config.is_true(s.value)}
    proxied = {s.key[: s.key.index("proxy")] for s in settings if "proxy" in s.key}
    for setting in settings:
        if setting.key[0] not in _BLOCKS or setting.name not in _DIALS or setting.value is None:
            continue
        if any(setting.key[: len(remote)] == remote for remote in unused | proxied):
            continue
        try:
            url = urlsplit(setting.value.strip())
            host, port = url.hostname, url.port
        except ValueError:
            continue  # the server will say what is wrong with it
        if host is None:
            continue
        if port is None and setting.key[0] in _REMOTES and not placement.is_here(host):
            port = LEAF_PORT
        if port is None:
            raise ConfigError(
                f"{setting.where}: {_without_login(setting.value)} names no port; add it, "
                f"for example {_shown(host, LEAF_PORT)}"
            )
        yield setting, (host, port)


def _shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _without_login(url: str) -> str:
    scheme, mark, rest = url.rpartition("://")
    return scheme + mark + rest.rpartition("@")[2]


def _refuse_silent(outside: dict[Address, Setting], ports: set[int]) -> None:
    """Raise ConfigError for the first of these addresses that cannot be reached."""
    said: dict[Address, str] = {}
    threads = [
        threading.Thread(target=functools.partial(_try, address, ports, said), daemon=True)
        for address in outside
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + ANSWER_TIMEOUT
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    for address, setting in outside.items():
        reason = said.get(address, f"nobody answered within {ANSWER_TIMEOUT:g} s")
        if reason:
            raise ConfigError(
                f"{setting.where}: {_shown(*address)} cannot be reached: {reason}. Servers of one "
                f"lab reach each other at {LOOPBACK} and the port in the other server's file"
            )


def _try(address: Address, ports: set[int], said: dict[Address, str]) -> None:
    said[address] = _why_not(address, ports)


def _why_not(address: Address, ports: set[int]) -> str:
    """Why nobody can be reached at this address; "" when somebody answers."""
    host, port = address
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return f"this machine knows no host named {host}"
    if port in ports and any(_is_own(family, where[0]) for family, _, _, _, where in found):
        return "that is this machine, but labkit moves only loopback addresses"
    reason = ""
    for *_, where in found:
        try:
            socket.create_connection((str(where[0]), port), ANSWER_TIMEOUT).close()
        except OSError as error:
            reason = error.strerror or "nobody answers"
        else:
            return ""
    return reason.lower()


def _is_own(family: socket.AddressFamily, host: str | int) -> bool:
    """Whether the address belongs to this machine: a server could listen there."""
    with socket.socket(family) as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            return False
    return True
