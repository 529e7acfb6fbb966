"""Contexts: how the `nats` command line keeps its connections, read here, and written for a running lab.

Format and place are the CLI's own: one JSON file a context in ~/.config/nats/context (or below
XDG_CONFIG_HOME), the selected one's name in context.txt.
Source: https://github.com/nats-io/jsm.go/blob/main/natscontext/context.go
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import difflib
import itertools
import json
import os
import re
import shutil
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit.servers.errors import LabError

if TYPE_CHECKING:
    from nats.aio.client import Client

    from labkit.servers.processes import Guard

MARK = "a lab of labkit: "  # begins the description of those that labkit wrote
NAME = "lab"
CONNECT_TIMEOUT = 4.0  # seconds; nats-py alone tries for minutes
LOOK_AGAIN = 0.02  # seconds between looks at what a connecting client reports
LONGEST_PATH = 250  # characters; what is longer is no path, but what it should name


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


def write(
    name: str,
    topology: str,
    settings: dict[str, Any],
    guard: Guard,
    path: Path | None = None,
) -> Path:
    """Write a context for a running lab and return its file, which goes with the lab.

    Where the name is taken, by a context of the user's own or of another lab that runs, it gets
    "-2" and so on: the other stays as it is. With `path`, the lab's file is written anew. Raises
    LabError when the lab has been stopped from elsewhere.
    """
    whose = f"{MARK}{topology}, pid {os.getpid()}, {guard.folder.name}"
    path = path or _new_file(name, guard)
    try:
        path.write_text(json.dumps({"description": whose, **settings}, indent=2), "utf-8")
    except OSError:
        path.unlink(missing_ok=True)
        raise
    if not guard.folder.exists():  # stopped meanwhile
        path.unlink(missing_ok=True)
    return path


def _new_file(name: str, guard: Guard) -> Path:
    """An empty file for a context that only this user can read, of a name that was free."""
    home = folder()
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    for number in itertools.count(1):
        path = home / f"{name if number == 1 else f'{name}-{number}'}.json"
        if path.exists():
            continue
        guard.also_remove(path)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            return path
    raise AssertionError("one number is free")


def read(name: str | None = None) -> dict[str, Any]:
    """The settings of a context; empty ones left out.

    Without a name, of the one that NATS_CONTEXT names in the environment, else of the selected one.
    Raises ContextError when there is none, or its file cannot be read.
    """
    if name is None:
        selected = folder().parent / "context.txt"
        name = os.environ.get("NATS_CONTEXT", "")
        if not name and selected.is_file():
            name = selected.read_text("utf-8").strip()
        if not name:
            raise ContextError("no context is selected; name one, or: nats context select NAME")
    if not name or ".." in name or set(name) & set("/\\"):
        raise ContextError(f"a context cannot be called {name!r}; {_others(name)}")
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


# --- what a context says, for nats-py -----------------------------------------------------------

_REFUSED = {  # what nats-py cannot do, and what to do in its place
    "socks_proxy": "uses a SOCKS proxy, which labkit cannot, and it won't connect without it; "
    "remove socks_proxy if the servers can be reached directly",
    "windows_cert_store": "takes its certificate from Windows' store, which labkit cannot read; "
    "export it and name the files as cert and key",
    "nsc": "asks nsc for its login; export a creds file and name that",
}
_ELSEWHERE = ("op", "nsc")  # programs that the command line asks for a secret
_SEED = re.compile(r"\bS[A-Z][A-Z2-7]{56}\b")  # of an nkey


def options(settings: dict[str, Any]) -> dict[str, Any]:
    """What `nats.connect` takes, from the settings of a context.

    Raises ContextError for what nats-py cannot do, and for a login that is not there; it never
    tells a secret.
    """
    for key, why in _REFUSED.items():
        if key in settings:
            raise ContextError(f"this context {why}")
    found: dict[str, Any] = {"servers": settings.get("url", "nats://127.0.0.1:4222").split(",")}
    if "user" in settings:
        found |= {"user": settings["user"], "password": _secret(settings, "password")}
    elif "creds" in settings:
        found["user_credentials"] = _credentials(settings)
    elif "nkey" in settings:
        found["nkeys_seed_str"] = _seed(_content(settings, "nkey"), "nkey")
    elif "user_jwt" in settings:
        found |= _signed_in(settings)
    if "token" in settings:
        found["token"] = _secret(settings, "token")
    if {"ca", "cert", "tls_first"} & settings.keys():
        found["tls"] = _tls(settings)
    if "tls_first" in settings:
        found["tls_handshake_first"] = True
    if "inbox_prefix" in settings:
        found["inbox_prefix"] = settings["inbox_prefix"].encode()
    return found


def _scheme(value: str) -> str:
    """How a setting says where its value is: "file", "env", "data"; "" for a value or a path."""
    scheme = re.match(r"(file|env|op|nsc)://|(data):", value, re.IGNORECASE)
    return (scheme[1] or scheme[2]).lower() if scheme else ""


def _secret(settings: dict[str, Any], key: str) -> str:
    """A setting that holds the value itself, or says where it is."""
    value = str(settings.get(key, ""))
    return _content(settings, key).rstrip("\r\n") if _scheme(value) else value


def _content(settings: dict[str, Any], key: str) -> str:
    """What is in the file, or other place, that a setting names. Raises ContextError."""
    value = str(settings[key])
    scheme, rest = _scheme(value), value.partition(":")[2]
    if scheme in _ELSEWHERE:
        raise ContextError(
            f"this context asks another program for its {key} ({scheme}://), which labkit "
            "cannot; put it in a file or a variable and write file:// or env://"
        )
    try:
        if scheme == "env":
            return os.environ[rest.removeprefix("//")]
        if scheme == "data":
            return base64.b64decode(rest.partition(",")[2], validate=True).decode()
        return _file(settings, key).read_text("utf-8")
    except KeyError:
        raise ContextError(
            f"the context's {key} is in the variable {rest.removeprefix('//')}, which is not set"
        ) from None
    except (OSError, ValueError):  # whose text may contain what was read
        raise ContextError(f"the context's {key} cannot be read") from None


def _file(settings: dict[str, Any], key: str) -> Path:
    """The file that a setting names. Raises ContextError."""
    value = str(settings[key])
    if _scheme(value) not in ("", "file"):
        raise ContextError(f"the context's {key} has to be a file, not {_scheme(value)}:")
    name = value[len("file://") :] if _scheme(value) else value
    if _SEED.search(value) or "\n" in value or len(value) > LONGEST_PATH:
        raise ContextError(
            f"the context's {key} holds the secret itself, but has to name a file; put it in a "
            "file and write that file's path"
        )
    path = Path(os.path.expandvars(name)).expanduser()
    if not path.is_file():
        raise ContextError(f"the context's {key} file {path} is not there")
    return path


def _credentials(settings: dict[str, Any]) -> Any:
    """A creds file for nats-py: its path, or what it holds."""
    from nats.aio.client import RawCredentials

    text = _content(settings, "creds")
    if "BEGIN NATS USER JWT" not in text or not _SEED.search(text):
        raise ContextError("the context's creds hold no user JWT with its seed; export them anew")
    if _scheme(str(settings["creds"])) in ("", "file"):
        return str(_file(settings, "creds"))
    return RawCredentials(text)


def _seed(text: str, key: str) -> str:
    found = _SEED.search(text)
    if found is None:
        raise ContextError(f"the context's {key} holds no seed; it begins with SU")
    return found[0]


def _signed_in(settings: dict[str, Any]) -> dict[str, Any]:
    """A user's JWT with the seed that signs for it; a bearer's JWT needs none."""
    token = _secret(settings, "user_jwt").encode()
    seed = _seed(_secret(settings, "user_seed"), "user_seed") if "user_seed" in settings else ""

    def sign(nonce: str) -> bytes:
        import nkeys

        return (
            base64.b64encode(nkeys.from_seed(seed.encode()).sign(nonce.encode())) if seed else b""
        )

    return {"user_jwt_cb": lambda: token, "signature_cb": sign}


def _tls(settings: dict[str, Any]) -> ssl.SSLContext:
    try:
        ca = str(_file(settings, "ca")) if "ca" in settings else None
        context = ssl.create_default_context(cafile=ca)
        if "cert" in settings and "key" in settings:
            context.load_cert_chain(_file(settings, "cert"), _file(settings, "key"))
    except OSError as error:  # ssl's errors are such
        raise ContextError(f"the context's certificates cannot be used: {error}") from None
    return context


# --- connecting ---------------------------------------------------------------------------------


async def connect(context: str | None = None, **more: Any) -> Client:
    """A nats-py client of any NATS system that the `nats` command line knows as a context.

    Without a name, the one in NATS_CONTEXT, else the selected one. `more` are options of
    `nats.connect`, and win over the context's. The client's `jetstream()` is in the context's
    domain. Raises ContextError for a context that cannot be used, and when nobody lets the client
    in within 4 s.
    """
    return await connect_with(read(context), **more)


async def connect_with(settings: dict[str, Any], **more: Any) -> Client:
    """As `connect`, with a context's settings."""
    wanted = {**options(settings), **more}
    domain = settings.get("jetstream_domain")
    prefix = settings.get("jetstream_api_prefix") or (domain and f"$JS.{domain}.API")
    return await _connected(_client({"prefix": prefix} if prefix else {}), wanted)


def _client(meant: dict[str, str]) -> Client:
    from labkit.servers.client import Client as LabClient

    class ContextClient(LabClient):
        """A client whose JetStream is the one that its context names."""

        def jetstream(self, **options: Any) -> Any:
            return super().jetstream(**(options if "domain" in options else meant | options))

        def jsm(self, **options: Any) -> Any:
            return super().jsm(**(meant | options))

    return ContextClient()


async def _connected(client: Client, wanted: dict[str, Any]) -> Client:
    """Connect; give up once each server has been tried, where nats-py would go on for minutes."""
    import nats.errors

    said: list[Exception] = []
    theirs = wanted.pop("error_cb", None)

    async def report(error: Exception) -> None:
        said.append(error)
        if theirs is not None:
            await theirs(error)
        elif client.is_connected:
            print(f"NATS error: {error}", file=sys.stderr)

    servers = wanted["servers"]
    urls = [servers] if isinstance(servers, str) else servers
    loop = asyncio.get_running_loop()
    deadline = loop.time() + CONNECT_TIMEOUT
    task = loop.create_task(client.connect(error_cb=report, **wanted))
    try:
        while not task.done() and loop.time() < deadline:
            # A reset may overtake the server's reason; the next try tells it.
            if sum(not isinstance(error, ConnectionResetError) for error in said) >= len(urls):
                break
            await asyncio.wait([task], timeout=LOOK_AGAIN)
        if task.done():
            await task
            return client
    except (OSError, nats.errors.Error) as error:
        said.append(error)
    finally:
        task.cancel()
    said.sort(key=lambda error: isinstance(error, ConnectionResetError))  # follows the true reason
    why = "nobody answers" if not said or isinstance(said[0], TimeoutError) else said[0]
    raise ContextError(f"no connection to {', '.join(map(_without_login, urls))}: {why}")


def _without_login(url: str) -> str:
    scheme, mark, rest = url.rpartition("://")
    return scheme + mark + rest.rpartition("@")[2]
