"""Credentials for a topology, made at its start: passwords, nkeys, certificates, JWTs.

A folder of server files that needs any has a `credentials.toml`, which says for whom; the .conf
files include what is made, or name its path, below `made/`. Nothing secret is ever in the folder
itself. What a client needs is told in the words of a `nats` context: user, password, nkey, creds,
ca, cert, key.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import secrets
import shutil
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from labkit.servers.errors import ConfigError
from labkit.servers.ports import LOOPBACK

RECIPE = "credentials.toml"
MADE = "made"
SERVER = "server"  # the name of the servers' certificate
ORGANIZATION, UNIT = (
    "labkit",
    "lab",
)  # of certificates: a client's subject is CN=ada,OU=lab,O=labkit
LIFETIME = timedelta(days=30)  # of certificates; a lab lives for hours
BCRYPT_ROUNDS = 4  # bcrypt's least: a lab's password is random, and starting must be fast
ANYBODY = "anybody"  # where the server wants TLS and no name

Settings = dict[str, str]
Made = dict[str, Settings]


def recipe_of(path: Path) -> Path | None:
    """The credentials.toml of a topology's folder, or beside its file; None where there is none."""
    recipe = (path if path.is_dir() else path.parent) / RECIPE
    return recipe if recipe.is_file() else None


def make(recipe: Path, folder: Path) -> Made:
    """Make what the recipe says in `folder`/made; returns what each client needs, by its name.

    Raises ConfigError for a recipe that cannot be followed.
    """
    wanted = _read(recipe)
    target = folder / MADE
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(mode=0o700)
    made: Made = {}
    for section, people in wanted.items():
        for name, settings in _MAKERS[section](people, target):
            made.setdefault(name, {}).update(settings)
    if "certificates" in wanted:
        made = made or {ANYBODY: {}}
        for settings in made.values():
            settings["ca"] = str(target / "ca.pem")
    return made


def _read(recipe: Path) -> dict[str, dict[str, list[str]]]:
    """The recipe: for each section its lists of names. Raises ConfigError."""
    try:
        wanted = tomllib.loads(recipe.read_text("utf-8"))
        for section, content in wanted.items():
            _refuse(section, content)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{recipe.parent.name}/{recipe.name}: {error}") from None
    return wanted


def _refuse(section: str, content: Any) -> None:
    """Raise ValueError for a section that cannot be followed."""
    if section not in _MAKERS:
        raise ValueError(f"nothing is known about [{section}]; it can hold {', '.join(_MAKERS)}")
    if not isinstance(content, dict) or not all(isinstance(v, list) for v in content.values()):
        raise ValueError(f'[{section}] holds lists of names, like users = ["ada"]')
    if section in ("passwords", "nkeys") and "users" not in content:
        raise ValueError(f"[{section}] needs a list named users")
    seen: set[str] = set()
    for name in (name for names in content.values() for name in names):
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][\w-]*", name):
            raise ValueError(f"[{section}]: {name!r} is no name; use letters, digits, - and _")
        if name in seen:
            raise ValueError(f"[{section}]: {name!r} is in it twice")
        seen.add(name)


def _write(path: Path, content: str | bytes) -> Path:
    """Write a file that nobody else on this machine can read."""
    data = content.encode() if isinstance(content, str) else content
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
    return path


def _variables(path: Path, kind: str, values: dict[str, str]) -> None:
    """Write what a server file includes to say `$ADA_PASSWORD` where that of ada belongs."""
    names = {name: f"{name}_{kind}".upper().replace("-", "_") for name in values}
    _write(path, "".join(f'{names[name]}: "{value}"\n' for name, value in values.items()))


# --- one maker a kind ---------------------------------------------------------------------------


def _passwords(wanted: dict[str, Any], folder: Path) -> Iterator[tuple[str, Settings]]:
    """A random password for each user; the server gets only its bcrypt hash."""
    import bcrypt

    passwords = {name: secrets.token_urlsafe(12) for name in wanted["users"]}
    hashed = {
        name: bcrypt.hashpw(word.encode(), bcrypt.gensalt(BCRYPT_ROUNDS, b"2a")).decode()
        for name, word in passwords.items()
    }
    _variables(folder / "passwords.conf", "password", hashed)
    _write(folder / "passwords.txt", "".join(f"{n} {word}\n" for n, word in passwords.items()))
    for name, word in passwords.items():
        yield name, {"user": name, "password": word}


def _nkeys(wanted: dict[str, Any], folder: Path) -> Iterator[tuple[str, Settings]]:
    """A key pair for each user; the server gets only the public key."""
    keys = {name: _Key.new("user") for name in wanted["users"]}
    _variables(folder / "nkeys.conf", "nkey", {name: key.public for name, key in keys.items()})
    for name, key in keys.items():
        yield name, {"nkey": str(_write(folder / f"{name}.nk", key.seed))}


def _certificates(wanted: dict[str, Any], folder: Path) -> Iterator[tuple[str, Settings]]:
    """An authority of the lab's own, a certificate for its servers and one for each client.

    All are good for servers on loopback too; a client is known by the certificate's subject.
    """
    import trustme

    authority = trustme.CA(organization_name=ORGANIZATION, organization_unit_name="authority")
    _write(folder / "ca.pem", authority.cert_pem.bytes())
    now = datetime.now(UTC)
    for name in (SERVER, *wanted.get("clients", ())):
        issued = authority.issue_cert(
            "localhost",
            LOOPBACK,
            common_name=name,
            organization_name=ORGANIZATION,
            organization_unit_name=UNIT,
            not_before=now - timedelta(hours=1),  # clocks differ
            not_after=now + LIFETIME,
        )
        key = _write(folder / f"{name}-key.pem", issued.private_key_pem.bytes())
        cert = _write(folder / f"{name}-cert.pem", issued.cert_chain_pems[0].bytes())
        if name != SERVER:
            yield name, {"cert": str(cert), "key": str(key)}


def _operator(wanted: dict[str, Any], folder: Path) -> Iterator[tuple[str, Settings]]:
    """An operator who signs accounts, which sign their users: JWTs, and creds files for clients.

    The section has a list of users for each account; SYS is the system account.
    """
    operator = _Key.new("operator")
    accounts = {name: _Key.new("account") for name in wanted}
    system = accounts.get("SYS")
    claims = {"type": "operator"} | ({"system_account": system.public} if system else {})
    _write(folder / "operator.jwt", operator.sign(operator.public, "labkit", claims))
    preload = "".join(
        f'  {key.public}: "{operator.sign(key.public, name, _account(key is not system))}"\n'
        for name, key in accounts.items()
    )
    text = f"resolver_preload: {{\n{preload}}}\n"
    _write(
        folder / "resolver.conf", text + (f"system_account: {system.public}\n" if system else "")
    )
    for account, key in accounts.items():
        for name in wanted[account]:
            user = _Key.new("user")
            token = key.sign(user.public, name, _USER)
            yield name, {"creds": str(_write(folder / f"{name}.creds", _creds(token, user.seed)))}


_MAKERS: dict[str, Callable[[dict[str, Any], Path], Iterator[tuple[str, Settings]]]] = {
    "passwords": _passwords,
    "nkeys": _nkeys,
    "certificates": _certificates,
    "operator": _operator,
}

# --- nkeys and JWTs -----------------------------------------------------------------------------

# Claims of https://github.com/nats-io/jwt (v2); -1 is "no limit".
_STORAGE = ("mem_storage", "disk_storage", "streams", "consumer")
_LIMITS = ("subs", "data", "payload", "imports", "exports", "conn", "leaf", *_STORAGE)
_USER = {"type": "user", "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1}


def _account(jetstream: bool) -> dict[str, Any]:
    """The claims of an account without limits; the system's account may have no JetStream."""
    limits = dict.fromkeys(_LIMITS, -1) | {"wildcards": True}
    if not jetstream:
        limits |= dict.fromkeys(_STORAGE, 0)
    return {"type": "account", "limits": limits, "default_permissions": {"pub": {}, "sub": {}}}


@dataclass(frozen=True)
class _Key:
    """An nkey: a key pair whose first letter tells what it is for."""

    seed: str
    public: str

    @classmethod
    def new(cls, kind: str) -> _Key:
        import nkeys

        prefix = getattr(nkeys, f"PREFIX_BYTE_{kind.upper()}")
        seed = nkeys.encode_seed(os.urandom(32), prefix)
        return cls(seed.decode(), nkeys.from_seed(seed).public_key.decode())

    def sign(self, subject: str, name: str, claims: dict[str, Any]) -> str:
        """A JWT by this key about `subject`."""
        import nkeys

        body = {"iat": int(time.time()), "iss": self.public, "name": name, "sub": subject}
        body["nats"] = claims | {"version": 2}
        body["jti"] = base64.b32encode(hashlib.sha256(json.dumps(body).encode()).digest()).decode()
        text = f"{_encode({'typ': 'JWT', 'alg': 'ed25519-nkey'})}.{_encode(body)}"
        signature = nkeys.from_seed(self.seed.encode()).sign(text.encode())
        return f"{text}.{_base64(signature)}"


def _encode(claims: dict[str, Any]) -> str:
    return _base64(json.dumps(claims).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _creds(token: str, seed: str) -> str:
    return (
        f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
