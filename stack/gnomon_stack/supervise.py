"""Runs supervisord over the parts and tells what happens to them."""

import functools
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from gnomon_stack.home import CONF, Home

# What supervisord prints about a part, behind the time and the level.
_ENDED = re.compile(r"exited: (?P<name>\S+) \((?P<why>.+); (?:not )?expected\)$")
_RUNS = re.compile(r"success: (?P<name>\S+) entered RUNNING state")
_SPAWNED = re.compile(r"spawned: '(?P<name>\S+)' with pid (?P<pid>\d+)$")
_STOPPED = re.compile(r"stopped: (?P<name>\S+) ")
_WORTH_TELLING = re.compile(r"spawnerr: .*|gave up: .*|killing .*|Error: .*")

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LAST_LINES = 5

# How often parts are asked again to end. supervisord asks each once, and whoever it has forked in
# the same moment still carries supervisord's own handler and forgets the signal.
_REMIND_S = 2.0


@functools.cache
def lead(number: str) -> tuple[str, ...]:
    """Return the words that make a program get signal ``number`` once its parent has died.

    So nothing outlives a supervisor that was killed without mercy. Only Linux can do that.
    """
    words = ("setpriv", "--pdeathsig", number)
    try:
        subprocess.run([*words, "true"], check=True, capture_output=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return ()
    return words


class Supervisor:
    """supervisord in a session of its own, so that a terminal's Ctrl-C reaches this process alone.

    Inside the ``with`` block SIGINT, SIGTERM and SIGHUP stop all parts in order. ``tell`` gets
    one message for each thing that happens to a part, with the part's last lines.
    """

    def __init__(self, home: Home, environ: Mapping[str, str], tell: Callable[[str], None]) -> None:
        self._home = home
        self._tell = tell
        self._environ = environ
        self._pids: dict[str, int] = {}
        self._ended: dict[str, str] = {}
        self.stopping = False

    def __enter__(self) -> Self:
        words = [sys.executable, "-m", "supervisor.supervisord", "--nodaemon"]
        if os.geteuid() == 0:
            words += ["--user=root"]  # else supervisord warns that it keeps its privileges
        for number in _STOP_SIGNALS:
            signal.signal(number, self._on_signal)
        self._started_s = time.monotonic()
        self._process = subprocess.Popen(
            [*lead("TERM"), *words, "--configuration", str(self._home.root / CONF)],
            cwd=self._home.root,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if self.stopping:  # a signal came before there was anything to stop
            self._process.terminate()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self.wait()
        for number in _STOP_SIGNALS:
            signal.signal(number, signal.SIG_DFL)

    @property
    def age_s(self) -> float:
        """How long ago supervisord was started."""
        return time.monotonic() - self._started_s

    @property
    def runs(self) -> bool:
        """Whether supervisord runs and nobody has asked it to stop."""
        return not self.stopping and self._process.poll() is None

    def stop(self) -> None:
        """Ask for the end of all parts; `wait` returns once they are gone."""
        self.stopping = True
        if self._process.poll() is None:
            self._process.terminate()

    def wait(self) -> int:
        """Wait for supervisord's end; return its exit status."""
        while self._reader.is_alive():
            self._reader.join(_REMIND_S)
            for pid in list(self._pids.values()) if self.stopping else []:
                with suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGTERM)
        return self._process.wait()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if not self.stopping:
            self.stopping = True
            if hasattr(self, "_process"):
                self._process.terminate()

    def _read(self) -> None:
        stream = self._process.stdout
        assert stream is not None  # noqa: S101  # it is a pipe, by __enter__
        for line in stream:
            for message in self._messages(line.rstrip("\n")):
                self._tell(message)

    def _messages(self, line: str) -> Iterator[str]:
        """Yield what one line of supervisord's means to whoever watches."""
        if found := _SPAWNED.search(line):
            self._pids[found["name"]] = int(found["pid"])
        elif found := _STOPPED.search(line):
            self._pids.pop(found["name"], None)
        elif found := _ENDED.search(line):
            self._pids.pop(found["name"], None)
            if self.stopping:
                return
            name, why = found["name"], found["why"]
            if self._ended.get(name) == why:
                yield f"{name} ended again: {why}; it is started again, later each time"
                return
            self._ended[name] = why
            log = self._home.log / f"{name}.log"
            yield f"{name} ended: {why}; it is started again. Its last lines ({log}):"
            for last in last_lines(log, _LAST_LINES):
                yield f"  {last}"
        elif found := _RUNS.search(line):
            if self._ended.pop(found["name"], None):
                yield f"{found['name']} runs again"
        elif found := _WORTH_TELLING.search(line):
            yield found[0]


def last_lines(path: Path, count: int) -> list[str]:
    """Return the last lines of a file that may be large; none where it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 16_384))
            return file.read().decode(errors="replace").splitlines()[-count:]
    except OSError:
        return []
