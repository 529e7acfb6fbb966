"""Which worker runs which test, and when: the longest first, what measures time alone at the end.

Most tests wait most of the time, so there are more workers than processors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

LONGEST_FIRST = (  # so that the workers end together
    "tests/notebooks/test_walk.py",
    "tests/course/test_exercise_proofs.py",
    "notebooks/",
    "tests/servers/test_kernel_ends.py",
    "tests/servers/test_endurance.py",
    "tests/servers/test_links.py",
    "tests/setup/",
)
TOGETHER = re.compile(  # a notebook, an exercise, a module, a topology that is only looked at
    r"(notebooks/.*\.ipynb)"
    r"|(tests/course/test_exercise_proofs\.py)::.*(\[\d+\.\w+-)"
    r"|(tests/room/test_simulated_room\.py)"
    r"|(tests/browser/test_slides\.py)"
    r"|(tests/views/test_topology_map\.py)::.*(\[[a-z].*)"
)


def scope(nodeid: str) -> str:
    """What a test shares with others that one worker must run; its own id when it shares nothing."""
    together = TOGETHER.match(nodeid)
    return "".join(filter(None, together.groups())) if together else nodeid


def plugin_for(config: pytest.Config) -> object:
    """What this process does about it: as a worker, as what starts workers, or without any."""
    if hasattr(config, "workerinput"):
        return Worker()
    return Workers() if config.getoption("dist", "no") != "no" else object()


def _place(item: pytest.Item) -> int:
    found = [n for n, begin in enumerate(LONGEST_FIRST) if item.nodeid.startswith(begin)]
    return found[0] if found else len(LONGEST_FIRST)


class Scheduling(LoadScopeScheduling):
    """Gives each worker one test after the other, but those together that share what they start."""

    def _split_scope(self, nodeid: str) -> str:
        return scope(nodeid)


class Worker:
    """A worker leaves out the tests marked `alone` and hands their ids back."""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Put the longest tests first, and leave out those that are to run alone."""
        items.sort(key=_place)  # keeps the order of the others
        alone = [item for item in items if item.get_closest_marker("alone")]
        items[:] = [item for item in items if item not in alone]
        config.workeroutput["alone"] = [item.nodeid for item in alone]  # type: ignore[attr-defined]


class Workers:
    """The process that started the workers: when they have ended, it runs what they left out."""

    def __init__(self) -> None:
        self.alone: list[str] = []

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Scheduling:
        """The order in which tests go to the workers. (`loadgroup` does nothing under pytest 9.2.)"""
        return Scheduling(config, log)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take over the tests that a worker has left out; every worker leaves out the same."""
        self.alone = getattr(node, "workeroutput", {}).get("alone", self.alone)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Iterator[None]:
        """Run the tests that measure time, after all the others and one by one."""
        done = yield
        if self.alone and not session.shouldstop and not session.shouldfail:
            others = session.testscollected
            items = session.perform_collect(
                [f"{session.config.rootpath}/{nodeid}" for nodeid in self.alone]
            )
            session.testscollected += others
            for item, following in zip(items, [*items[1:], None], strict=True):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        return done
