"""Following one message through the servers: message tracing of nats-server 2.11 and newer.

Protocol: https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-41.md. Each
server that a message with the header Nats-Trace-Dest reaches tells that subject what it did.
"""

from __future__ import annotations

import asyncio
import html
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from nats.aio.client import Client

DESTINATION, ONLY, HOP = "Nats-Trace-Dest", "Nats-Trace-Only", "Nats-Trace-Hop"
KINDS = {0: "CLIENT", 1: "ROUTER", 2: "GATEWAY", 3: "SYSTEM", 4: "LEAF", 5: "JETSTREAM"}
TYPES = {
    "in": "ingress",
    "eg": "egress",
    "sm": "subject mapping",
    "se": "stream export",
    "si": "service import",
    "js": "JetStream",
}
REHEARSAL = 0.25  # seconds for the first attempt to hear from every server

Report = dict[str, Any]
_NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Event:
    """What a server did with the message; `hop` is "" on the first server, then "1", "1.1", ….

    `kind` is that of the connection it came by or left by, `name` who is on its other end, `to`
    the subject or hop it went on as, `detail` the queue group, stream, or error.
    """

    server: str
    hop: str
    type: str
    kind: str | None
    name: str | None
    account: str | None
    subject: str | None
    to: str | None
    detail: str | None
    time: str
    cid: int | None


@dataclass
class Trace:
    """The way of one message. `complete` says whether every server on it was heard."""

    subject: str
    events: list[Event] = field(default_factory=list)
    complete: bool = False

    def frame(self) -> pd.DataFrame:
        """A row an event, in the order of the way: first server first, then hop by hop.

        `time` is each server's own clock; `after` the time since the first event. Columns else
        as in `Event`.
        """
        from labkit.views.columns import COUNT, DURATION, TEXT, TIME, frame

        columns = dict.fromkeys(Event.__dataclass_fields__, TEXT) | {"time": TIME, "cid": COUNT}
        table = frame([vars(event) for event in self.events], columns)
        after = table["time"] - table["time"].min()
        table.insert(len(table.columns) - 1, "after", after.astype(DURATION))
        return table

    def lines(self) -> list[str]:
        """An event a line, indented by hops."""
        return [
            f"{'  ' * _depth(event.hop)}{event.server}: {describe(event)}" for event in self.events
        ]

    def __repr__(self) -> str:
        end = "" if self.complete else "\n(not every server on the way was heard)"
        return "\n".join([f"{self.subject}:", *self.lines()]) + end

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"


def describe(event: Event) -> str:
    """An event in words."""
    whom = f"{event.kind} {event.name}" if event.kind else ""
    tail = f" ({event.detail})" if event.detail else ""
    account = f" in account {event.account}" if event.account not in (None, "$G") else ""
    words = {
        "ingress": f"from {whom} on {event.subject}{account}",
        "egress": f"to {whom}"
        + (f" for {event.subject}" if event.subject else "")
        + tail
        + account,
        "subject mapping": f"mapped to {event.to}",
        "stream export": f"to account {event.account} as {event.to}",
        "service import": f"to account {event.account} as {event.to}",
        "JetStream": f"stored in {event.name} as {event.subject}{tail}",
    }
    return words.get(event.type, event.type)


def _depth(hop: str) -> int:
    return hop.count(".") + 1 if hop else 0


async def trace(
    nc: Client,
    subject: str,
    payload: bytes = b"",
    *,
    headers: dict[str, str] | None = None,
    only: bool = False,
    timeout: float = 2.0,
) -> Trace:
    """Publish a message and follow it: which servers it came by, who got it, in which stream it is.

    With `only=True` it is followed and not delivered. Servers far away must first learn where to
    report: so the way is rehearsed, without delivery, until every server on it is heard. Gives up
    after `timeout` seconds; then the trace holds what was heard and its `complete` is False. An
    account that the message is imported from or exported to must say `allow_trace: true`.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    reports = await nc.subscribe(f"{nc.new_inbox()}.*")
    try:
        heard: list[Report] = []
        patience, alone = REHEARSAL, {**(headers or {}), ONLY: "true"}
        left = timeout
        while left > 0 and not is_complete(heard):
            heard = await _follow(nc, reports, subject, payload, alone, min(patience, left))
            left = deadline - loop.time()
            patience *= 2  # a link may be slower than that
        if not only:
            # Published once: there is nothing to try again, so that all the time left is for it.
            patience = max(left, REHEARSAL)
            heard = await _follow(nc, reports, subject, payload, headers or {}, patience)
    finally:
        await reports.unsubscribe()
    return Trace(subject, list(_events(heard)), is_complete(heard))


async def _follow(
    nc: Client, reports: Any, subject: str, payload: bytes, headers: dict[str, str], patience: float
) -> list[Report]:
    """Publish once, and gather what the servers report until all have, or none does for so long."""
    destination = reports.subject.replace("*", str(next(_NUMBERS)))
    await nc.publish(subject, payload, headers={**headers, DESTINATION: destination})
    heard: list[Report] = []
    try:
        while not is_complete(heard):
            message = await reports.next_msg(patience)
            if message.subject == destination:  # not a late report on an earlier message
                heard.append(json.loads(message.data))
    except TimeoutError:
        pass  # what was heard is what there is; is_complete tells
    return heard


def is_complete(reports: list[Report]) -> bool:
    """Whether all servers reported: the first, and each that one of them passed the message on to."""
    hops = {_hop(report) for report in reports}
    return "" in hops and hops >= {
        event["hop"]
        for report in reports
        for event in report["events"]
        if event.get("hop") and not event.get("error")
    }


def _hop(report: Report) -> str:
    return str((report["request"].get("header") or {}).get(HOP, [""])[0])


def _events(reports: list[Report]) -> Iterator[Event]:
    """The events of all reports, hop by hop."""
    for report in sorted(reports, key=lambda r: [int(n) for n in _hop(r).split(".") if n]):
        for event in report["events"]:
            kind = event["type"]
            yield Event(
                server=report["server"]["name"],
                hop=_hop(report),
                type=TYPES.get(kind, kind),
                kind=KINDS.get(event["kind"], str(event["kind"])) if "kind" in event else None,
                name=event.get("stream") if kind == "js" else event.get("name"),
                account=event.get("acc"),
                subject=event.get("subj") or event.get("sub") or event.get("subject"),
                to=event.get("hop") or event.get("to"),
                detail=_detail(event),
                time=event["ts"],
                cid=event.get("cid"),
            )


def _detail(event: Report) -> str | None:
    if event.get("error"):
        return f"error: {event['error']}"
    if event.get("nointerest"):
        return "not stored: no consumer is interested"
    return f"queue {event['queue']}" if event.get("queue") else None
