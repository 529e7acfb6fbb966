"""What servers say of themselves, typed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from labkit.servers.server import Server


@dataclass(frozen=True)
class Subscription:
    cid: int
    sid: str
    subject: str
    queue: str | None
    max: int | None
    msgs: int


@dataclass(frozen=True)
class Connection:
    cid: int
    name: str
    kind: str
    lang: str
    reason: str
    in_msgs: int
    out_msgs: int
    subscriptions: tuple[Subscription, ...]


def _sub(said: dict[str, Any], cid: int) -> Subscription:
    return Subscription(
        said.get("cid", cid),
        said["sid"],
        said["subject"],
        said.get("qgroup"),
        said.get("max"),
        said.get("msgs", 0),
    )


def connections(server: Server, *, state: str = "open") -> list[Connection]:
    found = server.monitor("connz", subs="detail", state=state, limit=10000)
    return [
        Connection(
            c["cid"],
            c.get("name", ""),
            c.get("kind", ""),
            c.get("lang", ""),
            c.get("reason", ""),
            c["in_msgs"],
            c["out_msgs"],
            tuple(_sub(s, c["cid"]) for s in c.get("subscriptions_list_detail", [])),
        )
        for c in found["connections"]
    ]


def subscriptions(server: Server, *, matching: str) -> list[Subscription]:
    found = server.monitor("subsz", subs=True, test=matching, limit=1000)
    return [_sub(s, s.get("cid", 0)) for s in found.get("subscriptions_list") or []]
