"""A checkout of one's own for each test, and the stack run in it with moved ports."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import servers
from gnomon_stack import desk
from gnomon_stack.home import Home
from gnomon_stack.parts import CONSOLE, PARTS

STARTED_WITHIN_S = 60
ENDED_WITHIN_S = 60


class Checkout:
    """A copy of what `gnomon up` reads, with free ports; demo and console only if asked for."""

    def __init__(self, folder: Path, *, demo: bool = False, console: bool = False) -> None:
        self.home = Home(folder)
        left_out = [*([] if demo else desk.PARTS), *([] if console else [CONSOLE])]
        parts = [part for part in PARTS if part not in left_out]
        self.ports = {part.name: servers.free_port() for part in parts}
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith("GNOMON_ALERT_")},
            **{part.variable: str(self.ports[part.name]) for part in parts},
            "GNOMON_DEMO": "on" if demo else "off",
            "GNOMON_CONSOLE": "on" if console else "off",
            "PYTHONPATH": str(servers.ROOT / "stack"),
        }
        for name in ("prometheus", "alertmanager"):
            # Whoever develops this may have receivers of their own: no test may call them.
            shutil.copytree(
                servers.ROOT / name, folder / name, ignore=shutil.ignore_patterns("secrets")
            )
        for target in (folder / "prometheus/targets").glob("*.yml"):
            target.unlink()
        shutil.copy(servers.ROOT / "supervisord.conf", folder)
        (folder / ".stack").mkdir(mode=0o700)
        if servers.UNPACKED.exists():
            (folder / ".stack/programs").symlink_to(servers.UNPACKED)

    def words(self, *arguments: str) -> list[str]:
        """Return the words of one `gnomon` command."""
        return [sys.executable, "-m", "gnomon_stack", *arguments]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one `gnomon` command to its end."""
        return subprocess.run(
            self.words(*arguments),
            cwd=self.home.root,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    def begin(self) -> "Stack":
        """Run `gnomon up`."""
        return Stack(self)

    def start(self) -> "Stack":
        """Run `gnomon up`, and return once all its parts answer."""
        stack = self.begin()
        try:
            stack.said("Ctrl-C or `make down` stops all of it")
        except BaseException:
            stack.kill()
            raise
        return stack

    def url(self, part: str, path: str) -> str:
        """Return an address below that of one part."""
        return f"http://127.0.0.1:{self.ports[part]}{path}"

    def processes(self) -> dict[int, str]:
        """Return all processes that work in this checkout, whoever started them, by their ids."""
        found = {}
        for pid in filter(str.isdecimal, os.listdir("/proc")):
            try:
                folder = os.readlink(f"/proc/{pid}/cwd")
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if folder == str(self.home.root) and command and servers.alive(int(pid)):
                found[int(pid)] = command
        return found

    def pid(self, marker: str) -> int:
        """Return the one process of this checkout that has ``marker`` in its command line."""
        [pid] = [pid for pid, command in self.processes().items() if marker in command]
        return pid

    def left(self) -> dict[int, str]:
        """Return what still runs when everything has had time to end."""
        end = time.monotonic() + ENDED_WITHIN_S
        while (found := self.processes()) and time.monotonic() < end:
            time.sleep(0.05)
        return found


class Stack:
    """`gnomon up` in a checkout."""

    def __init__(self, checkout: Checkout) -> None:
        self.checkout = checkout
        self.log = checkout.home.root.parent / "up.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                checkout.words("up"),
                cwd=checkout.home.root,
                env=checkout.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def output(self) -> str:
        """Return everything that has been printed."""
        return self.log.read_text()

    def said(self, text: str, within_s: float = STARTED_WITHIN_S) -> None:
        """Wait until ``text`` was printed; fail with all that was printed instead."""
        end = time.monotonic() + within_s
        while text not in self.output():
            if time.monotonic() > end or self.process.poll() is not None:
                pytest.fail(f"{text!r} was not said (status {self.process.poll()}):{self.output()}")
            time.sleep(0.05)

    def kill(self) -> None:
        """End everything that works in the checkout, without asking."""
        for pid in self.checkout.processes():
            os.kill(pid, signal.SIGKILL)
        self.process.wait(10)


@pytest.fixture
def checkout(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Checkout]:
    """A checkout in which nothing runs yet; nothing is left running in it.

    Its stack has the demo where a test's module says ``DEMO = True``, and the console where one
    says ``CONSOLE_RUNS = True``.
    """
    folder = tmp_path / "checkout"
    folder.mkdir()
    made = Checkout(
        folder,
        demo=getattr(request.module, "DEMO", False),
        console=getattr(request.module, "CONSOLE_RUNS", False),
    )
    yield made
    for pid in made.processes():
        os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that runs, shared by the tests of a module: each leaves it as whole as it was."""
    for name in ("prometheus", "alertmanager"):
        servers.program(name)
    folder = tmp_path_factory.mktemp("stack") / "checkout"
    folder.mkdir()
    running = Checkout(folder).start()
    yield running
    running.kill()


@pytest.fixture
def eventually() -> Callable[[Callable[[], object], float], object]:
    """Return a function that waits until a condition holds, at most so many seconds."""
    return servers.until
