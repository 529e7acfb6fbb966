"""Finding a topology: a folder that comes with labkit, a path, or config texts; and its server files.

Reads only; starts nothing.
"""

from __future__ import annotations

import difflib
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from labkit.servers import config, credentials
from labkit.servers.config import ConfigFile
from labkit.servers.errors import ConfigError, TopologyError

PACKAGE = Path(__file__).resolve().parent.parent
_FURTHER_UP = re.compile(  # a path with ../ in it, as a server file writes one
    r"\"(?P<dq>[^\"\n]*\.\./[^\"\n]*)\"|'(?P<sq>[^'\n]*\.\./[^'\n]*)'"
    r"|(?P<word>(?<![^\s:=\[,])(?:\./)?\.\./[^\s,;\]}'\"]+)"
)


def names() -> list[str]:
    """The topologies that come with labkit, by name."""
    return sorted(path.name for path in configs_folder().iterdir() if any(path.glob("*.conf")))


def configs_folder() -> Path:
    """Where the topologies are: beside the package in a checkout, inside it in an installed wheel."""
    checkout = PACKAGE.parent / "server-configs"
    return checkout if checkout.is_dir() else PACKAGE / "_course" / "server-configs"


def locate(topology: str | Path | Mapping[str, str]) -> tuple[str, Path | None]:
    """A topology's name, and its folder or file; None for texts. Raises TopologyError."""
    if not isinstance(topology, Mapping):
        path = _topology_path(topology)
        return path.stem, path
    if not topology:
        raise TopologyError('no server given; write for example {"n1": "jetstream: enabled"}')
    for name, text in topology.items():
        if not isinstance(name, str) or not isinstance(text, str):
            raise TopologyError(
                f"server {name!r} has {text!r} for its file; a name and a text are needed, "
                'for example {"n1": "jetstream: enabled"}'
            )
    return "-".join(topology)[:40], None


def read_files(topology: Path | Mapping[str, str] | None) -> dict[str, ConfigFile]:
    """The server files of a topology, read, by the name of each. Raises ConfigError, TopologyError."""
    if isinstance(topology, Mapping):
        return {n: config.read(Path(f"{n}.conf"), text) for n, text in topology.items()}
    assert topology is not None
    paths = [topology] if topology.is_file() else sorted(topology.glob("*.conf"))
    if not paths:
        raise TopologyError(
            f"there is no .conf file in {topology}; a topology is a folder with one file a server"
        )
    # What a server file includes is a part of it, no server of its own.
    read = {file.stem: config.read(file) for file in paths}
    included = {
        part.path.resolve() for file in read.values() for part in file.files() if part is not file
    }
    servers = {stem: file for stem, file in read.items() if file.path.resolve() not in included}
    if not servers:
        raise ConfigError(
            f"the files in {topology} include each other; none is left to be a server"
        )
    return servers


def _topology_path(topology: str | Path) -> Path:
    if isinstance(topology, str) and topology == Path(topology).name:
        known = configs_folder() / topology
        if known.is_dir() and any(known.glob("*.conf")):
            return known
    path = Path(topology).expanduser()
    if path.exists():
        return path
    raise TopologyError(
        f"there is no topology {str(topology)!r}; {did_you_mean(str(topology), names())}"
    )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """What to say of a name that is not among those that are known."""
    names = list(known)
    near = difflib.get_close_matches(name, names, 1)
    there = ", ".join(names)
    return f"did you mean {near[0]!r}? There are: {there}" if near else f"there are: {there}"


def own_copy(path: Path, target: Path) -> Path:
    """Copy a topology's server files and its recipe, to make its credentials there; returns where
    `path` is in the copy. What the server files name further up (../certs/ca.pem) stays where it is,
    and the copies say how to get there."""
    folder = path if path.is_dir() else path.parent
    for file in [*folder.glob("*.conf"), *folder.glob("*/*.conf"), folder / credentials.RECIPE]:
        copy = target / file.relative_to(folder)
        if file.is_file() and credentials.MADE not in copy.relative_to(target).parts:
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, copy)
            if copy.suffix == ".conf":
                _lead_further_up(copy, file.parent, folder.resolve())
    return target if path.is_dir() else target / path.name


def _lead_further_up(copy: Path, home: Path, folder: Path) -> None:
    """In the copy of a server file from `home`, write ../… as seen from the copy.

    What is in the topology's folder itself has been copied too, and keeps its name.
    """

    def seen_from_copy(match: re.Match[str]) -> str:
        named = next(part for part in match.group("dq", "sq", "word") if part is not None)
        there = (home / named).resolve()
        if not there.exists() or there.is_relative_to(folder):
            return match[0]
        # A relative path: the server takes an absolute one after `include` for a relative one too.
        return config.quote(Path(os.path.relpath(there, copy.parent.resolve())).as_posix())

    text = copy.read_bytes().decode(errors="surrogateescape")
    if "../" in text:
        text = _FURTHER_UP.sub(seen_from_copy, text)
        copy.write_bytes(text.encode(errors="surrogateescape"))
