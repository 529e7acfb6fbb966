"""Asking a server something through its system account, where it takes no signal: on Windows.

Source: https://docs.nats.io/running-a-nats-service/configuration/sys_accounts#system-services
"""

from __future__ import annotations

import json
from collections import defaultdict

from labkit.servers.config import ConfigFile
from labkit.servers.errors import ServerStateError
from labkit.servers.probe import Conversation

DEFAULT = "$SYS"  # the system account, unless the file names another
TIMEOUT = 5.0  # seconds


def login(file: ConfigFile) -> dict[str, str] | None:
    """A user of the system account whose password the file says in plain words; None if it has none."""
    named = file.find("system_account|system")
    account = (named.value if named else None) or DEFAULT
    users: dict[tuple[object, ...], dict[str, str]] = defaultdict(dict)
    for _, setting in file.everything():
        if setting.key[:3] == ("accounts", account.lower(), "users") and setting.value:
            if setting.name in ("user", "username"):
                users[setting.key[:-1]]["user"] = setting.value
            elif setting.name in ("password", "pass"):
                users[setting.key[:-1]]["pass"] = setting.value
    for user in users.values():
        if len(user) == 2 and not user["pass"].startswith("$2"):  # a hash is no password
            return user
    return None


def reload(port: int, user: dict[str, str]) -> str | None:
    """Have the server on this port read its file again; what it says when it refuses, else None.

    Raises ServerStateError when it does not answer this user.
    """
    try:
        with Conversation(port, TIMEOUT) as conversation:
            subject = f"$SYS.REQ.SERVER.{conversation.info['server_id']}.RELOAD"
            answer = json.loads(conversation.request(subject, b"", user))
    except (OSError, ValueError, KeyError) as error:
        raise ServerStateError(
            f"the server on port {port} does not answer {user['user']} of its system account: {error}"
        ) from None
    refusal: str | None = answer.get("error", {}).get("description")
    return refusal
