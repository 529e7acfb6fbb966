"""Runs a notebook as "Run All" does: every cell is queued at once, and none waits for another."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_client.manager import KernelManager

REPLY_TIMEOUT = 60.0  # seconds for each cell


@dataclass(frozen=True)
class Ran:
    """How one cell came out: "ok", "error", "aborted" or "skipped"; and what it showed, as text."""

    number: int
    status: str
    detail: str
    shown: str


def run_all(notebook: Any, folder: Path) -> list[Ran]:
    """Queue all code cells of the notebook in a fresh kernel and report on each, counted from 1."""
    manager = KernelManager(kernel_name="python3")
    manager.kernel_spec.argv[0] = sys.executable
    manager.start_kernel(cwd=str(folder), extra_arguments=["--HistoryManager.enabled=False"])
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=REPLY_TIMEOUT)
        sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
        queued = [client.execute(source, stop_on_error=True) for source in sources]
        replies = [client.get_shell_msg(timeout=REPLY_TIMEOUT)["content"] for _ in queued]
        shown = _collect(client, queued)
        return [
            Ran(number, *_judge(reply, message in shown), shown.get(message, ""))
            for number, (message, reply) in enumerate(zip(queued, replies, strict=True), start=1)
        ]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()


def _judge(reply: dict[str, Any], started: bool) -> tuple[str, str]:
    """A reply of "ok" for a cell that never said it was running is a cell that was skipped."""
    if reply["status"] == "ok" and not started:
        return "skipped", "the kernel answered without running it"
    return reply["status"], f"{reply.get('ename', '')}: {reply.get('evalue', '')}"


def _collect(client: Any, queued: list[str]) -> dict[str, str]:
    """What each cell showed, by its message; a cell that never ran has no entry."""
    shown: dict[str, str] = {}
    idle: set[str] = set()
    while len(idle) < len(queued):
        message = client.get_iopub_msg(timeout=REPLY_TIMEOUT)
        parent, content = message["parent_header"].get("msg_id"), message["content"]
        if parent not in queued:
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


def failures(notebook: Any, folder: Path) -> list[str]:
    """The cells that did not run to their end, a line each."""
    return [
        f"code cell {ran.number} was {ran.status} {ran.detail}"
        for ran in run_all(notebook, folder)
        if ran.status != "ok"
    ]
