"""A real Chromium for the tests, driven over its debugging protocol."""

import itertools
import json
import os
import shutil
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from servers import Server

#: What distributions call it.
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

#: Seconds for anything that the browser has to do, on a machine that is busy.
PATIENCE = 60.0


class CommandError(Exception):
    """The browser could not do it: at that moment, perhaps, because it was leaving the page."""


class Tab:
    """A tab: commands of the protocol, and the page's own JavaScript."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)

    def call(self, method: str, **parameters: Any) -> Any:
        """Send a command and return its result."""
        number = next(self._numbers)
        command = {"id": number, "method": method, "params": parameters}
        self._connection.send(json.dumps(command))
        while True:
            message = json.loads(self._connection.recv(PATIENCE))
            if message.get("id") == number:
                if "error" in message:
                    raise CommandError(f"{method}: {message['error']}")
                return message["result"]

    def run(self, script: str) -> Any:
        """Return what JavaScript says; a promise is waited for."""
        found = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def open(self, url: str) -> None:
        """Go to a page, and wait until it is complete."""
        self.call("Page.navigate", url=url)
        self.until(f"location.href === {json.dumps(url)} && document.readyState === 'complete'")

    def until(self, condition: str) -> None:
        """Wait until a condition in JavaScript holds."""
        end = time.monotonic() + PATIENCE
        while not self._holds(condition):
            assert time.monotonic() < end, condition
            time.sleep(0.02)

    def _holds(self, condition: str) -> bool:
        try:
            return bool(self.run(condition))
        except CommandError:
            return False

    def click(self, x: int, y: int) -> None:
        """Click as a user does."""
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)


def installed() -> str:
    """Return where Chromium is; skip (in CI: fail) without it."""
    program = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if program is None:
        why = "Chromium is not installed"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    return program


@contextmanager
def chromium(directory: Path) -> Iterator[Tab]:
    """Run Chromium without a window, 800 by 600; skip (in CI: fail) without it."""
    program = installed()
    profile = directory / "chromium"
    words = [
        *(program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
        *("--remote-debugging-port=0", f"--user-data-dir={profile}", "--window-size=800,600"),
        *("--no-first-run", "--no-default-browser-check", "--disable-background-networking"),
        *("--disable-component-update", "--disable-sync", "about:blank"),
    ]
    with Server(words, log=directory / "chromium.log", env={"HOME": str(directory)}) as server:
        port = _port(profile / "DevToolsActivePort", server)
        request = urllib.request.Request(f"http://127.0.0.1:{port}/json/new", method="PUT")
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            address = json.load(answer)["webSocketDebuggerUrl"]
        with connect(address, open_timeout=PATIENCE, max_size=None) as connection:
            tab = Tab(connection)
            tab.call("Page.enable")
            tab.call(
                "Emulation.setDeviceMetricsOverride",
                width=800,
                height=600,
                deviceScaleFactor=1,
                mobile=False,
            )
            yield tab


def _port(file: Path, server: Server) -> int:
    end = time.monotonic() + PATIENCE
    while True:
        if file.exists() and (lines := file.read_text().splitlines()):
            return int(lines[0])
        assert server.process.poll() is None, server.last_words()
        assert time.monotonic() < end, server.last_words()
        time.sleep(0.05)
