"""Contexts: how the `nats` command line keeps its connections, read here, and written for a running lab.

Format and place are the CLI's own: one JSON file a context in ~/.config/nats/context (or below
XDG_CONFIG_HOME), the selected one's name in context.txt.
Source: https://github.com/nats-io/jsm.go/blob/main/natscontext/context.go
"""

from __future__ import annotations

import difflib
import json
import os
import shutil
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit.servers.errors import LabError

if TYPE_CHECKING:
    from nats.aio.client import Client

MARK = "a lab of labkit: "  # begins the description of those that labkit wrote
NAME = "lab"


class ContextError(LabError):
    """A context that is not there or cannot be used."""


def folder() -> Path:
    """Where the `nats` command line keeps its contexts. Raises ContextError for who has no home."""
    try:
        parent = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    except RuntimeError:
        raise ContextError(
            "contexts are kept in your home folder, and this user has none; set HOME"
        ) from None
    return Path(parent) / "nats" / "context"


def names() -> list[str]:
    """The contexts that there are."""
    return sorted(path.stem for path in folder().glob("*.json"))


def wanted() -> bool:
    """Whether anybody here could use a context: the CLI is installed, or has been used."""
    try:
        return shutil.which("nats") is not None or folder().is_dir()
    except (OSError, ContextError):
        return False


def write(topology: str, login: dict[str, str], path: Path | None = None) -> Path:
    """Write a context for a running lab, with its url and a login, and return its file.

    It is called "lab", or "lab-2" and so on where that name is taken: a context of the user's
    own, or of another lab that runs, stays as it is. With `path`, the lab's file is written anew.
    """
    settings = {"description": f"{MARK}{topology}, pid {os.getpid()}", **login}
    path = path or _new_file()
    try:
        path.write_text(json.dumps(settings, indent=2), "utf-8")
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return path


def _new_file() -> Path:
    """An empty file for a context that only this user can read, of a name that was free."""
    folder().mkdir(parents=True, exist_ok=True, mode=0o700)
    number = 1
    while True:
        path = folder() / f"{NAME if number == 1 else f'{NAME}-{number}'}.json"
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            return path
        except FileExistsError:
            number += 1


def read(name: str | None = None) -> dict[str, str]:
    """The settings of a context, of the selected one without a name; empty ones left out.

    Raises ContextError when there is none, or its file cannot be read.
    """
    if name is None:
        selected = folder().parent / "context.txt"
        name = selected.read_text("utf-8").strip() if selected.is_file() else ""
        if not name:
            raise ContextError("no context is selected; name one, or: nats context select NAME")
    path = folder() / f"{name}.json"
    try:
        found = json.loads(path.read_text("utf-8"))
        return {key: value for key, value in found.items() if value}
    except FileNotFoundError:
        raise ContextError(f"there is no context {name!r}; {_others(name)}") from None
    except (OSError, ValueError, AttributeError) as error:
        raise ContextError(f"the context file {path} cannot be read: {error}") from None


def _others(name: str) -> str:
    near = difflib.get_close_matches(name, names(), 1)
    if near:
        return f"did you mean {near[0]!r}?"
    there = ", ".join(names())
    return f"there are: {there}" if there else f"there are none in {folder()}"


def options(settings: dict[str, str]) -> dict[str, Any]:
    """What `nats.connect` takes, from the settings of a context. Raises ContextError."""
    if "nsc" in settings:
        raise ContextError("this context asks nsc for its login; export a creds file and name that")
    found: dict[str, Any] = {"servers": settings.get("url", "nats://127.0.0.1:4222").split(",")}
    if "user" in settings:
        found |= {"user": settings["user"], "password": settings.get("password", "")}
    elif "creds" in settings:
        found["user_credentials"] = str(_file(settings, "creds"))
    elif "nkey" in settings:
        found["nkeys_seed"] = str(_file(settings, "nkey"))
    elif "token" in settings:
        found["token"] = settings["token"]
    if "ca" in settings or "cert" in settings:
        found["tls"] = _tls(settings)
    if "tls_first" in settings:
        found |= {"tls": _tls(settings), "tls_handshake_first": True}
    if "inbox_prefix" in settings:
        found["inbox_prefix"] = settings["inbox_prefix"].encode()
    return found


def _file(settings: dict[str, str], key: str) -> Path:
    path = Path(settings[key]).expanduser()
    if not path.is_file():
        raise ContextError(f"the context's {key} file {path} is not there")
    return path


def _tls(settings: dict[str, str]) -> ssl.SSLContext:
    ca = str(_file(settings, "ca")) if "ca" in settings else None
    context = ssl.create_default_context(cafile=ca)
    if "cert" in settings and "key" in settings:
        context.load_cert_chain(_file(settings, "cert"), _file(settings, "key"))
    return context


async def connect(context: str | None = None, **more: Any) -> Client:
    """A nats-py client of any NATS system that the `nats` command line knows as a context.

    Without a name, the selected one. `more` are options of `nats.connect`, and win over the
    context's. Raises ContextError for a context that cannot be used.
    """
    from labkit.servers.client import Client as LabClient

    client = LabClient()
    await client.connect(**{**options(read(context)), **more})
    return client
