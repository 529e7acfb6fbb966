"""Kernels for the tests: started as JupyterLab and nbval start them, and ended in every way there is."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from labkit.servers.wait import wait_until

REPLY_TIMEOUT = 30.0  # seconds
GONE_TIMEOUT = 10.0  # seconds, for guard, servers and folder to be gone


@dataclass
class Kernel:
    """A running kernel: code goes in, what it printed comes out."""

    manager: KernelManager
    client: BlockingKernelClient

    def run(self, code: str) -> str:
        """What the code printed; AssertionError with the traceback when it failed."""
        printed: list[str] = []

        def collect(message: dict) -> None:
            if message["msg_type"] == "stream":
                printed.append(message["content"]["text"])

        reply = self.client.execute_interactive(
            code, timeout=REPLY_TIMEOUT, output_hook=collect, store_history=False
        )
        content = reply["content"]
        assert content["status"] == "ok", "\n".join(content.get("traceback", [str(content)]))
        return "".join(printed)

    def start_lab(self, topology: str | dict[str, str] = "single") -> Traces:
        """Start a lab in the kernel; returns what must be gone when the kernel is."""
        answer = self.run(
            f"import json, labkit\nlab = labkit.start({topology!r})\n"
            "print(json.dumps([str(lab.folder), lab._guard.pid, [s.pid for s in lab.values()]]))"
        )
        folder, guard, servers = json.loads(answer)
        return Traces(Path(folder), [guard, *servers])

    @property
    def pid(self) -> int:
        return self.manager.provisioner.process.pid


@dataclass
class Traces:
    """What a lab leaves while it lives: its folder and the pids of its guard and servers."""

    folder: Path
    pids: list[int]

    def without_guard(self) -> Traces:
        """What must be gone when the lab is stopped and its kernel goes on: the guard stays warm."""
        return Traces(self.folder, self.pids[1:])

    def left(self) -> list[str]:
        """What is still there, for a message."""
        alive = [f"pid {pid}" for pid in self.pids if runs(pid)]
        return alive + ([str(self.folder)] if self.folder.exists() else [])

    def assert_gone(self) -> None:
        wait_until(lambda: not self.left(), GONE_TIMEOUT, f"these to go: {self.left()}")


def runs(pid: int) -> bool:
    """Whether this process runs; one that only waits to be reaped does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def kernel() -> Iterator[Kernel]:
    """A fresh python3 kernel of this environment, gone at the end of the block."""
    manager = KernelManager(kernel_name="python3")
    manager.kernel_spec.argv[0] = sys.executable
    manager.start_kernel(extra_arguments=["--HistoryManager.enabled=False"])
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=REPLY_TIMEOUT)
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        if manager.is_alive():
            manager.shutdown_kernel(now=True)
        manager.cleanup_resources()


def kill(target: Kernel) -> None:
    """kill -9 of the kernel alone, as the out-of-memory killer does."""
    psutil.Process(target.pid).kill()


def restart(target: Kernel) -> None:
    """JupyterLab's Restart."""
    target.manager.restart_kernel()
    target.client.wait_for_ready(timeout=REPLY_TIMEOUT)


def shutdown(target: Kernel) -> None:
    """JupyterLab's Shut Down."""
    target.manager.shutdown_kernel(now=False)


def nbval_end(target: Kernel) -> None:
    """How nbval 0.11 and nbclient end a kernel: SIGKILL to its whole process group."""
    target.manager.shutdown_kernel(now=True)


def interrupt(target: Kernel) -> None:
    """JupyterLab's ■ while a cell awaits."""
    # Without stop_on_error=False the kernel also refuses what comes within a moment of the error.
    message = target.client.execute(
        "import asyncio; print('awaiting'); await asyncio.sleep(60)", stop_on_error=False
    )
    while True:
        event = target.client.get_iopub_msg(timeout=REPLY_TIMEOUT)
        if event["msg_type"] == "stream" and "awaiting" in event["content"]["text"]:
            break
    target.manager.interrupt_kernel()
    while True:
        reply = target.client.get_shell_msg(timeout=REPLY_TIMEOUT)
        if reply["parent_header"].get("msg_id") == message:
            assert reply["content"]["status"] == "error", "the interrupted cell ended without one"
            return


DEADLY: dict[str, Callable[[Kernel], None]] = {
    "kill -9": kill,
    "restart": restart,
    "shutdown": shutdown,
    "nbval's end": nbval_end,
}
