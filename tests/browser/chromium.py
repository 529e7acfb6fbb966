"""A headless Chromium, driven through its DevTools protocol with what JupyterLab brings along.

No browser library is needed: Chromium speaks JSON over a WebSocket, and websocket-client comes
with jupyter-server.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import websocket

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
)
ANSWER_TIMEOUT = 30.0  # seconds
KEYS = {  # key: (code, number, text)
    "Enter": ("Enter", 13, "\r"),
    "Space": ("Space", 32, " "),
    "PageDown": ("PageDown", 34, ""),
    "PageUp": ("PageUp", 33, ""),
    "Home": ("Home", 36, ""),
    "End": ("End", 35, ""),
}


def program() -> str | None:
    """The Chromium on PATH, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Page:
    """One tab: evaluate JavaScript, press keys, change the window's size, take pictures."""

    def __init__(self, address: str) -> None:
        self._socket = websocket.create_connection(address, timeout=ANSWER_TIMEOUT)
        self._ids = itertools.count(1)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The protocol's answer to one command. Raises AssertionError where it is an error."""
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer: dict[str, Any] = json.loads(self._socket.recv())
            if answer.get("id") == number:  # what lies between are events
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression; a promise is awaited."""
        answer = self.call(
            "Runtime.evaluate",
            expression=script,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, script: str, timeout: float, what: str) -> None:
        """Wait until the expression is true. Raises AssertionError with `what` when it isn't."""
        deadline = time.monotonic() + timeout
        while not self.evaluate(script):
            assert time.monotonic() < deadline, f"{what}: not within {timeout:g} s"
            time.sleep(0.02)

    def press(self, key: str, shift: bool = False) -> None:
        """Press a key and let it go, as a hand would."""
        letter = (f"Key{key.upper()}", ord(key[0].upper()), key)
        code, number, text = KEYS.get(key, letter)
        name = " " if key == "Space" else key
        same = {"key": name, "code": code, "windowsVirtualKeyCode": number, "modifiers": 8 * shift}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **same)
        self.call("Input.dispatchKeyEvent", type="keyUp", **same)

    def resize(self, width: int, height: int) -> None:
        """Give the page this size in pixels, and let it lay itself out."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.settle()

    def settle(self) -> None:
        """Return when the page has drawn twice more: what was changed before is laid out."""
        frame = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        self.evaluate(f"{frame}.then(() => true)")

    def picture(self, path: Path) -> None:
        """Save what the page shows as a PNG."""
        path.write_bytes(
            base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        )


class Browser:
    """A Chromium with a profile of its own in `folder`; ends with the `with` block."""

    def __init__(self, folder: Path) -> None:
        found = program()
        assert found, "no Chromium on PATH"
        # What it would leave behind elsewhere; its sockets want a short path.
        self._temporary = tempfile.TemporaryDirectory(prefix="cr-", ignore_cleanup_errors=True)
        self._process = subprocess.Popen(
            [found, *FLAGS, f"--user-data-dir={folder}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": self._temporary.name},
        )
        self._port = self._await_port(folder / "DevToolsActivePort")
        self._control = Page(f"ws://127.0.0.1:{self._port[0]}{self._port[1]}")

    def _await_port(self, path: Path) -> tuple[str, str]:
        deadline = time.monotonic() + ANSWER_TIMEOUT
        while time.monotonic() < deadline:
            assert self._process.poll() is None, "Chromium ended at once"
            if path.exists() and len(lines := path.read_text().split()) == 2:
                return lines[0], lines[1]
            time.sleep(0.02)
        raise AssertionError("Chromium did not open its DevTools")

    def open(self, url: str, width: int, height: int) -> Page:
        """A new tab of this size on this address, which may still be loading."""
        page = self.page(self._control.call("Target.createTarget", url="about:blank")["targetId"])
        page.resize(width, height)
        page.call("Page.navigate", url=url)
        return page

    def page(self, target: str) -> Page:
        """The tab with this id of the protocol's."""
        return Page(f"ws://127.0.0.1:{self._port[0]}/devtools/page/{target}")

    def targets(self) -> list[dict[str, Any]]:
        """The tabs and windows that are open, as the protocol describes them."""
        infos: list[dict[str, Any]] = self._control.call("Target.getTargets")["targetInfos"]
        return [info for info in infos if info["type"] == "page"]

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._temporary.cleanup()
