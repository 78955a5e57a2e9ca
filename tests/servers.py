"""Real servers for the tests: found, started on a free port, waited for, and ended with all theirs.

A server that is missing fails a test in CI (the variable CI is set) and skips it by name elsewhere.
"""

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from gnomon_stack import programs

ROOT = Path(__file__).parent.parent
UNPACKED = ROOT / ".stack/programs"


def program(name: str) -> list[str]:
    """Return the words that start program ``name``, or skip (in CI: fail) the test by its name.

    Names are the projects' own: prometheus, promtool, alertmanager, amtool, node_exporter.
    """
    path = programs.find(name, UNPACKED)
    if path is None:
        why = f"{name} is not installed: neither on PATH nor under .stack/programs"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    return programs.command(path, UNPACKED)


def free_port() -> int:
    """Return a TCP port of loopback that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def fetch(url: str, timeout: float = 5) -> bytes:
    """Return what ``url`` answers; raise OSError for anything but success."""
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        body: bytes = answer.read()
        return body


def until(what: Callable[[], Any], within_s: float = 60) -> Any:
    """Return the first true answer of ``what()``; fail after so many seconds.

    An OSError is no answer yet: who is asked may run and not listen, or be busy.
    """
    end = time.monotonic() + within_s
    while True:
        refused = ""
        try:
            if answer := what():
                return answer
        except OSError as error:
            refused = f": {error}"
        if time.monotonic() > end:
            pytest.fail(f"{what} does not hold after {within_s} s{refused}")
        time.sleep(0.05)


def alive(pid: int) -> bool:
    """Whether process ``pid`` runs; one that has ended and waits for its parent does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return stat.rpartition(b")")[2].split()[0] not in b"ZX"


class Server:
    """A command that runs while the ``with`` block does, in a process group of its own.

    ``ready`` is a URL that answers once the server serves. What it prints goes to ``log``. ``user``
    is whom root becomes for a server that refuses to be root.
    Leaving the block ends the whole group, children of children too.
    """

    def __init__(
        self,
        words: list[str],
        *,
        ready: str | None = None,
        log: Path,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
        user: str | None = None,
        deadline_s: float = 60,
    ) -> None:
        self.log = log
        self._ready = ready
        self._deadline_s = deadline_s
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if env is None else {**os.environ, **env},
                cwd=cwd,
                user=user,
                extra_groups=None if user is None else [],
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def output(self) -> str:
        """Return everything that the server has printed."""
        return self.log.read_text(errors="replace")

    def last_words(self) -> str:
        """Return the end of what the server has printed, enough to see why it failed."""
        return self.output()[-2000:]

    def stop(self, patience_s: float = 10) -> None:
        """Ask the group to end, then kill what is left of it."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                break
            try:
                self.process.wait(patience_s)
            except subprocess.TimeoutExpired:
                continue

    def _wait(self) -> None:
        end = time.monotonic() + self._deadline_s
        while self._ready is not None:
            if (status := self.process.poll()) is not None:
                pytest.fail(f"{self.process.args!r} ended with {status}:\n{self.last_words()}")
            try:
                fetch(self._ready, timeout=1)
            except OSError:
                if time.monotonic() > end:
                    pytest.fail(f"{self._ready} did not answer:\n{self.last_words()}")
                time.sleep(0.05)
            else:
                return
