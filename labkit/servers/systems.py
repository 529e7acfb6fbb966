"""Which of a lab's servers form one NATS system, and a login that their files give for it.

The servers of a cluster form one system, and so do clusters with gateways between them. A leaf
node is a system of its own, with its own logins. Reads the files only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from labkit.servers import readiness
from labkit.servers.placement import PlannedServer
from labkit.servers.server import ServerProcess

Login = dict[str, str]  # in the words of a `nats` context


def systems(servers: Iterable[ServerProcess]) -> list[list[ServerProcess]]:
    """The servers of each system, in the lab's order."""
    found: list[tuple[set[str], list[ServerProcess]]] = []
    for server in servers:
        names = _names(server.planned)
        first, *others = [system for system in found if system[0] & names] or [(set(), [])]
        if not first[1]:
            found.append(first)
        for other in others:
            found.remove(other)
        first[0].update(names, *(other[0] for other in others))
        first[1].extend([*(member for other in others for member in other[1]), server])
    return [members for _, members in found]


def _names(planned: PlannedServer) -> set[str]:
    """The names of the server's cluster and of those it has gateways to; else a name of its own."""
    cluster = readiness.cluster_of(planned)
    clusters = readiness.gateways_of(planned) | {planned.setting("gateway", "name") or ""}
    if cluster is not None:
        return (clusters | {cluster}) - {""} or {"/"}
    return clusters - {""} or {f"/{planned.name}"}


def login(planned: PlannedServer) -> Login:
    """A user or token that the file gives in plain text; {} where clients need none, or it has none.

    Not a user of the system account, who hears no messages of the others.
    """
    if planned.has("no_auth_user"):
        return {}
    token = planned.setting("authorization", "token")
    if token:
        return {"token": token}
    users: dict[object, Login] = defaultdict(dict)
    words = {"user": "user", "username": "user", "password": "password", "pass": "password"}
    system = {"$sys", (planned.setting("system_account|system") or "").lower()}
    for _, setting in planned.file.everything():
        ours = setting.key[:1] == ("authorization",) or (
            setting.key[:1] == ("accounts",) and not system & set(setting.key[1:2])
        )
        if ours and setting.name in words and setting.value:
            users[setting.key[:-1]][words[setting.name]] = setting.value
    for user in users.values():
        if len(user) == 2 and not user["password"].startswith("$2"):  # a hash lets nobody in
            return user
    return {}


def encryption(server: ServerProcess) -> dict[str, str | bool]:
    """What a client has to know of the server's TLS: who signs certificates, and when it begins."""
    authority = server.planned.setting("tls", "ca_file")
    found: dict[str, str | bool] = {"tls_first": True} if server.encrypts_first else {}
    if authority:
        found["ca"] = str((server.planned.config_path.parent / authority).resolve())
    return found
