"""Where a running server listens, as it says itself and as the system sees it: on loopback only.

Nothing in a lab may be reachable from other machines. labkit decides where each listener is from
what it read in the file; this asks the server whether it read the same.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from labkit.servers import sockets
from labkit.servers.errors import TopologyError
from labkit.servers.ports import LOOPBACK

if TYPE_CHECKING:
    from labkit.servers.server import ServerProcess

_PAGES = {  # the kind of a listener, and where /varz tells of it: the object, its host, its port
    "client": ("", "host", "port"),
    "cluster": ("cluster", "addr", "cluster_port"),
    "gateway": ("gateway", "host", "port"),
    "leafnodes": ("leaf", "host", "port"),
    "websocket": ("websocket", "host", "port"),
    "mqtt": ("mqtt", "host", "port"),
}


def refuse_other(servers: Iterable[ServerProcess]) -> None:
    """Raise TopologyError for a server that listens elsewhere than its private copy says.

    Where the system's list of its sockets is what the copy asks for, /varz has nothing to add.
    """
    for server in servers:
        asked = {(LOOPBACK, port) for port in server.planned.addresses.values()}
        if server.pid and set(sockets.listening(server.pid)) == asked:
            continue
        for kind, address in _told(server.monitor("varz")).items():
            port = server.planned.addresses.get(kind)
            if address != f"{LOOPBACK}:{port}":
                _refuse(server, f"its {kind} listener is on {address}", kind)
        refuse_exposed([server])


def _told(varz: dict[str, Any]) -> dict[str, str]:
    """Host and port of each listener that the server has, by its kind."""
    found = {"http": (varz["http_host"], varz["http_port"] or varz["https_port"])}
    for kind, (page, host, port) in _PAGES.items():
        said = varz.get(page) or {} if page else varz
        if said.get(port):
            found[kind] = said.get(host, ""), said[port]
    return {kind: f"{host}:{port}" for kind, (host, port) in found.items()}


def refuse_exposed(servers: Iterable[ServerProcess]) -> None:
    """Raise TopologyError for a server with a socket that other machines could reach."""
    for server in servers:
        for host, port in sockets.listening(server.pid) if server.pid else ():
            if not ipaddress.ip_address(host).is_loopback:
                _refuse(server, f"it listens on {host}:{port}", "")


def _refuse(server: ServerProcess, what: str, kind: str) -> None:
    server.kill()
    asked = server.planned.addresses.get(kind)
    raise TopologyError(
        f"server {server.name} was stopped: {what}, but labkit "
        + (f"asked for {LOOPBACK}:{asked}" if asked else "knows of no listener there")
        + ". Nothing in a lab may be reachable from outside this machine; look in "
        f"{server.planned.file.path.name} for the setting that says so"
    )
