"""Streams and consumers of a whole lab as DataFrames, each as its leader tells it in /jsz."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from labkit.servers.errors import LabError
from labkit.servers.observe import Observed
from labkit.views.asking import Answers, ask
from labkit.views.columns import COUNT, DURATION, FLAG, OTHER, TEXT, TIME, Row, flatten, frame
from labkit.views.monitor import noted

# In the order in which a person reads them: what, how much, since when, where, how it is set.
STREAMS = (
    {"account": TEXT, "name": TEXT, "subjects": OTHER, "messages": COUNT, "bytes": COUNT}
    | {"first_seq": COUNT, "last_seq": COUNT, "first_ts": TIME, "last_ts": TIME}
    | {"num_subjects": COUNT, "num_deleted": COUNT, "consumer_count": COUNT, "leader": TEXT}
    | {"num_replicas": COUNT, "replicas": OTHER, "replicas_current": COUNT, "cluster": TEXT}
    | {"domain": TEXT, "storage": TEXT, "retention": TEXT, "max_age": DURATION, "max_msgs": COUNT}
    | {"max_bytes": COUNT, "created": TIME}
)
CONSUMERS = (
    {"account": TEXT, "stream_name": TEXT, "name": TEXT, "filter_subjects": OTHER}
    | {"num_pending": COUNT, "num_ack_pending": COUNT, "num_redelivered": COUNT}
    | {"num_waiting": COUNT, "delivered.consumer_seq": COUNT, "delivered.stream_seq": COUNT}
    | {"delivered.last_active": TIME, "ack_floor.consumer_seq": COUNT}
    | {"ack_floor.stream_seq": COUNT, "ack_floor.last_active": TIME, "leader": TEXT}
    | {"num_replicas": COUNT, "replicas": OTHER, "replicas_current": COUNT, "cluster": TEXT}
    | {"domain": TEXT, "ack_policy": TEXT, "deliver_policy": TEXT, "ack_wait": DURATION}
    | {"max_deliver": COUNT, "max_ack_pending": COUNT, "push_bound": FLAG, "paused": FLAG}
    | {"created": TIME}
)


def streams(lab: Mapping[str, Observed]) -> pd.DataFrame:
    """A row a stream of every account and domain, as its leader tells it."""
    answers = _everything(lab)
    rows = _leaders_word(answers, _stream_rows)
    return noted(frame(_sorted(rows), STREAMS), answers.silent)


def consumers(lab: Mapping[str, Observed], stream: str | None) -> pd.DataFrame:
    """A row a consumer, of one stream or of all. Raises LabError for a stream that is not there."""
    answers = _everything(lab)
    rows = _leaders_word(answers, _consumer_rows)
    if stream is not None:
        _refuse_unknown(stream, {row["name"] for row in _leaders_word(answers, _stream_rows)})
        rows = [row for row in rows if row["stream_name"] == stream]
    return noted(frame(_sorted(rows), CONSUMERS), answers.silent)


def _refuse_unknown(stream: str, known: set[str]) -> None:
    if stream not in known:
        near = difflib.get_close_matches(stream, known, 1)
        there = f"there are: {', '.join(sorted(known))}" if known else "there is none"
        raise LabError(
            f"no running server has a stream {stream!r}; "
            + (f"did you mean {near[0]!r}? " if near else "")
            + there
        )


def _everything(lab: Mapping[str, Observed]) -> Answers[Row]:
    return ask(lab.values(), _jsz)


def _jsz(server: Observed) -> Row:
    return server.monitor("jsz", accounts=True, streams=True, consumers=True, config=True)


def _leaders_word(answers: Answers[Row], rows: Any) -> list[Row]:
    """One row an asset: its leader's where that runs, else that of the first server that holds it."""
    kept: dict[tuple[str, ...], tuple[bool, Row]] = {}
    for server, page in answers.given.items():
        for row in rows(page):
            leads = row.get("leader") == server
            home = row["cluster"] or server
            key = (
                row["domain"] or "",
                home,
                row["account"],
                row.get("stream_name", ""),
                row["name"],
            )
            if key not in kept or (leads and not kept[key][0]):
                kept[key] = leads, row
    return [row for _, row in kept.values()]


def _sorted(rows: list[Row]) -> list[Row]:
    return sorted(
        rows,
        key=lambda row: [
            row[key] or "" if key in row else ""
            for key in ("domain", "cluster", "account", "stream_name", "name")
        ],
    )


def _details(page: Row) -> Iterator[tuple[Row, Row]]:
    """Each stream of a /jsz page with what holds for all of its account."""
    for account in page.get("account_details") or []:
        common = {"account": account["name"], "domain": page["config"].get("domain")}
        for stream in account.get("stream_detail") or []:
            yield common, stream


def _placement(cluster: Row | None) -> Row:
    """Where an asset is: its cluster, its leader, its followers and how many of them are up to date."""
    found = cluster or {}
    followers = found.get("replicas") or []
    return {
        "cluster": found.get("name"),
        "leader": found.get("leader"),
        "replicas": sorted(follower["name"] for follower in followers),
        "replicas_current": sum(follower.get("current", False) for follower in followers),
    }


def _stream_rows(page: Row) -> Iterator[Row]:
    for common, stream in _details(page):
        settings, state = stream["config"], stream["state"]
        yield {
            **common,
            **{key: settings[key] for key in STREAMS if key in settings},
            "num_deleted": 0,
            **flatten(state),
            **_placement(stream.get("cluster")),
            "name": stream["name"],
            "created": stream["created"],
        }


def _consumer_rows(page: Row) -> Iterator[Row]:
    for common, stream in _details(page):
        for consumer in stream.get("consumer_detail") or []:
            settings = consumer.get("config") or {}
            one = settings.get("filter_subject")
            yield {
                **common,
                "push_bound": False,
                "paused": False,
                **{key: settings[key] for key in CONSUMERS if key in settings},
                **{k: v for k, v in flatten(consumer).items() if k in CONSUMERS},
                **_placement(consumer.get("cluster")),
                "filter_subjects": settings.get("filter_subjects") or ([one] if one else []),
                "num_replicas": settings.get("num_replicas") or stream["config"]["num_replicas"],
            }
