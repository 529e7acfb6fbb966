"""Asking several servers at once, and knowing which could not answer and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from labkit.servers.errors import ServerStateError
from labkit.servers.observe import Observed

T = TypeVar("T")
S = TypeVar("S", bound=Observed)

AT_ONCE = 16  # servers asked side by side


@dataclass
class Answers(Generic[T]):
    """What each server that runs answered, by its name, and the state of each that does not run."""

    given: dict[str, T] = field(default_factory=dict)
    silent: dict[str, str] = field(default_factory=dict)


def ask(servers: Iterable[S], read: Callable[[S], T]) -> Answers[T]:
    """What `read` says of each running server, in the servers' order.

    A server that is paused, stopped or exited is not asked. Raises ServerStateError when one that
    runs does not answer.
    """
    servers = list(servers)
    answers: Answers[T] = Answers()
    with ThreadPoolExecutor(AT_ONCE, "labkit-ask") as pool:
        asked = {s.name: pool.submit(read, s) for s in servers if s.state == "running"}
        for server in servers:
            try:
                if server.name in asked:
                    answers.given[server.name] = asked[server.name].result()
                else:
                    answers.silent[server.name] = server.state
            except ServerStateError:
                if server.state == "running":
                    raise
                answers.silent[server.name] = server.state  # it ended while it was asked
    return answers


def refuse_silent(server: Observed) -> None:
    """Raise ServerStateError, with what to do, for a server that cannot answer now."""
    remedy = {"running": "", "paused": "resume"}.get(server.state, "start")
    if remedy:
        raise ServerStateError(
            f"{server.name} is {server.state} and answers nothing; "
            f"lab[{server.name!r}].{remedy}() helps"
        )
