"""The kit looks at itself: is everything here that the course needs, and does it work?"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata

from labkit import environment, notebook
from labkit.course import store, workspace
from labkit.servers import binary, placement, ports, tables, topology
from labkit.servers.errors import LabError

FREE_DISK = 1_000_000_000  # bytes; the course's largest lab needs about a third of that
PACKAGES = ("labkit", "nats-py", "jupyterlab", "ipykernel")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `advice` says what to do when it is not well."""

    what: str
    well: bool
    seen: str
    advice: str = ""

    @property
    def mark(self) -> str:
        """✔ or ✘."""
        return "✔" if self.well else "✘"


@dataclass(frozen=True)
class Health:
    """All findings; `ok` when every one is well."""

    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether the course can start."""
        return all(finding.well for finding in self.findings)

    def __repr__(self) -> str:
        return "\n".join(
            f"{f.mark} {f.what:22} {f.seen}" + (f"\n  → {f.advice}" if f.advice else "")
            for f in self.findings
        )

    def _repr_html_(self) -> str:
        rows = [
            (f.mark, f.what, tables.lines(f.seen, f"→ {f.advice}" if f.advice else ""))
            for f in self.findings
        ]
        return tables.html_table((), rows, tables.left)


def doctor() -> Health:
    """Look at Python, the packages, the server, a message through it, the disk and the workspace."""
    looks: list[Callable[[], list[Finding]]] = [
        _python,
        _packages,
        _server,
        _message,
        _ports,
        _disk,
        _workspace,
    ]
    return Health(tuple(finding for look in looks for finding in look()))


def _python() -> list[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    well = sys.version_info >= (3, 11)
    return [Finding("Python", well, version, "" if well else "install Python 3.11 or newer")]


def _packages() -> list[Finding]:
    findings = []
    for name in PACKAGES:
        try:
            findings.append(Finding(name, True, metadata.version(name)))
        except metadata.PackageNotFoundError:
            findings.append(
                Finding(name, False, "not installed", "pip install -e . in the checkout")
            )
    return findings


def _server() -> list[Finding]:
    try:
        return [Finding("nats-server", True, str(binary.find()))]
    except LabError as error:
        return [Finding("nats-server", False, "not usable", str(error))]


def _message() -> list[Finding]:
    """A server on a free port, a client, a message: timed, in milliseconds."""
    what = "a message"
    began = time.perf_counter()
    try:
        with topology.start(topology.RunningTopology, {"doctor": ""}) as lab:
            started = time.perf_counter()
            _in_a_thread(lambda: asyncio.run(_round_trip(lab)))
    except (LabError, OSError, TimeoutError) as error:
        return [Finding(what, False, "did not arrive", str(error))]
    ended = time.perf_counter()
    seen = (
        f"server ready after {(started - began) * 1000:.0f} ms, "
        f"first message {(ended - started) * 1000:.0f} ms later"
    )
    return [Finding(what, True, seen)]


async def _round_trip(lab: topology.RunningTopology) -> None:
    client = await lab.connect(name="doctor")
    subscription = await client.subscribe("doctor")
    await client.publish("doctor", b"well?")
    await subscription.next_msg(timeout=2)
    await client.close()


def _in_a_thread(work: Callable[[], None]) -> None:
    """Run `work` in a thread, since a notebook's own event loop runs in this one."""
    failed: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except (LabError, OSError, TimeoutError) as error:
            failed.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


def _ports() -> list[Finding]:
    """Whether a server on the well-known port runs here; the kit's own take free ports."""
    port = placement.CLIENT_PORT
    by = "" if ports.is_free(port) else ports.holder(port) or "another program"
    seen = f"taken by {by}, which does not matter: labs use free ports" if by else "free"
    return [Finding(f"port {port}", True, seen)]


def _disk() -> list[Finding]:
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    well = free >= FREE_DISK
    advice = f"make room in {folder}, where labs keep their files while they run"
    return [Finding("free disk", well, f"{free / 1e9:.1f} GB", "" if well else advice)]


def _workspace() -> list[Finding]:
    folder = store.workspace()
    if folder:
        seen = str(folder)
    elif notebook.interactive():
        seen = "none (progress is kept until this kernel ends)"
    elif (workspace.default_folder() / store.HIDDEN).is_dir():
        seen = str(workspace.default_folder())
    else:
        seen = f"none yet: {environment.command()} lab makes it"
    return [Finding("workspace", True, seen)]
