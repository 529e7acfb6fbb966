"""Runs cells as "Run All" does: all are queued at once, and none waits for another."""

from __future__ import annotations

import os
import queue
import sys
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_client.manager import KernelManager

READY_TIMEOUT = 60.0  # seconds for the kernel to start
REPLY_TIMEOUT = 60.0  # seconds for each cell


@dataclass(frozen=True)
class Ran:
    """How one cell came out: "ok", "error", "aborted" or "skipped"; and what it showed, as text."""

    number: int
    status: str
    detail: str
    shown: str


def run_all(sources: Sequence[str], folder: Path) -> list[Ran]:
    """Queue these cells in a fresh kernel that runs in the folder; a report on each, from 1.

    The `nats` command line of this user sees nothing of it: the kernel has settings of its own.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as settings:
        return _run_all(sources, folder, {**os.environ, "XDG_CONFIG_HOME": settings})


def _run_all(sources: Sequence[str], folder: Path, environment: dict[str, str]) -> list[Ran]:
    manager = KernelManager(kernel_name="python3")
    manager.kernel_spec.argv[0] = sys.executable
    manager.start_kernel(
        cwd=str(folder),
        env=environment,
        extra_arguments=["--HistoryManager.enabled=False"],
    )
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=READY_TIMEOUT)
        queued = [client.execute(source, stop_on_error=True) for source in sources]
        replies = _replies(client, queued)
        shown = _collect(client, replies.keys())
        return [
            Ran(number, *_judge(replies.get(message), message in shown), shown.get(message, ""))
            for number, message in enumerate(queued, start=1)
        ]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()


def _replies(client: Any, queued: list[str]) -> dict[str, dict[str, Any]]:
    """The kernel's reply to each cell, by its message; a cell that it passed over has none."""
    replies: dict[str, dict[str, Any]] = {}
    while len(replies) < len(queued):
        try:
            message = client.get_shell_msg(timeout=REPLY_TIMEOUT)
        except queue.Empty:
            break
        if message["parent_header"].get("msg_id") in queued:
            replies[message["parent_header"]["msg_id"]] = message["content"]
    return replies


def _judge(reply: dict[str, Any] | None, started: bool) -> tuple[str, str]:
    """No reply, or an "ok" for a cell that never said it was running: the cell was skipped."""
    if reply is None:
        return "skipped", f"the kernel gave no answer for {REPLY_TIMEOUT:g} s"
    if reply["status"] == "ok" and not started:
        return "skipped", "the kernel answered without running it"
    return reply["status"], f"{reply.get('ename', '')}: {reply.get('evalue', '')}"


def _collect(client: Any, replied: Collection[str]) -> dict[str, str]:
    """What each cell that was replied to showed, by its message; one that never ran has no entry."""
    shown: dict[str, str] = {}
    idle: set[str] = set()
    while len(idle) < len(replied):
        message = client.get_iopub_msg(timeout=REPLY_TIMEOUT)
        parent, content = message["parent_header"].get("msg_id"), message["content"]
        if parent not in replied:
            continue
        if message["msg_type"] == "execute_input":
            shown.setdefault(parent, "")
        elif message["msg_type"] == "stream":
            shown[parent] = shown.get(parent, "") + content["text"]
        elif message["msg_type"] in ("execute_result", "display_data"):
            shown[parent] = shown.get(parent, "") + content["data"].get("text/plain", "")
        elif message["msg_type"] == "status" and content["execution_state"] == "idle":
            idle.add(parent)
    return shown
