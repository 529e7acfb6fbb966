"""What `labkit.start` gives: the servers of `labkit.servers`, with what can be seen of them.

Thin: each method hands over to `labkit.views`, imported when it is first used, so that starting
a lab loads neither pandas nor matplotlib.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from labkit import notebook
from labkit.frames import ServerFrames, SystemFrames
from labkit.servers import server, tables
from labkit.servers import topology as topologies
from labkit.servers.blocking import blocking, blocking_method
from labkit.servers.errors import LabError
from labkit.servers.launching import Ports
from labkit.servers.server import START_TIMEOUT
from labkit.servers.topology import LinkChoice

if TYPE_CHECKING:
    from labkit.views.topology_map import Map
    from labkit.views.trace import Trace


class Server(ServerFrames, server.ServerProcess):
    """A nats-server of a lab, and its monitoring pages as DataFrames."""


class Lab(SystemFrames, topologies.RunningTopology):
    """A running topology: `lab["n1"]` is a server, `await lab.connect()` a client, `lab.stop()` its end.

    Also a context manager. Whatever ends this process, its servers end and their files go.
    """

    server_class = Server

    def __getitem__(self, name: str) -> Server:
        return cast(Server, super().__getitem__(name))

    @blocking_method
    def add(self, name: str, text: str, timeout: float = START_TIMEOUT) -> Server:
        """Start one more server from config text and return it when the topology is usable with it.

        The text names well-known addresses, as the topology's files do: a route to
        127.0.0.1:6222 reaches the server that has this address in its file. Raises ConfigError or
        TopologyError as `start` does; then the lab is as it was.
        """
        return cast(Server, super().add(name, text, timeout))

    @blocking_method
    def map(self, *, rtt: bool = False, trace: Trace | None = None) -> Map:
        """A picture of who is connected to whom, read from the servers themselves: an SVG.

        Clusters as groups, with routes, gateways and leaf links (with their account, where it is
        not the global one), clients by name, the JetStream leader marked; servers that do not run
        and links that are down are dashed and say so. `rtt=True` writes the round-trip times that
        the servers have measured beside links and clients. `trace` lays the hops of a message on
        it, see `labkit.trace`. Positions depend on the files only, so that two pictures compare.
        `.save(path)` writes the file.
        """
        from labkit.views import snapshot, topology_map

        return topology_map.draw(snapshot.take(self), rtt=rtt, trace=trace)

    def _repr_html_(self) -> str:
        table = tables.html_table(("server", "role", "state", "url"), self.rows())
        shown = f"<b>{html.escape(self.topology)}</b>{' (stopped)' * self.stopped}{table}"
        if self.stopped:
            return shown
        from labkit.views import snapshot, topology_map

        try:
            # Without what differs from one moment to the next: who leads, whom a leaf has chosen.
            picture = topology_map.draw(snapshot.steady(snapshot.take(self))).svg
        except LabError as error:
            picture = f"<p>No map: {html.escape(str(error))}.</p>"
        return f"{shown}{picture}"


@blocking
def start(
    topology: str | Path | Mapping[str, str] = "single",
    *,
    ports: Ports = "free",
    links: LinkChoice = "forwarded",
    timeout: float = START_TIMEOUT,
) -> Lab:
    """Start a topology and return when it is usable.

    The topology is the name of a folder in server-configs, a path to a folder of .conf files or to
    one file, or a mapping of server name to config text. Each file is one server. `ports="free"`
    moves every loopback port to a free one, so that labs never collide; "well-known" keeps the
    files' own. `links="forwarded"` puts a forwarder between servers, so that links can be cut and
    delayed; with "direct", and on well-known ports, servers dial each other themselves, which is
    faster. In a notebook a lab of the same name that runs is replaced.

    Raises TopologyError or ConfigError, in the server's own words, when the topology is not
    usable within `timeout` seconds; then everything it had started is stopped.
    """
    return topologies.start(Lab, topology, ports, links, timeout, notebook.make_way)
