"""Break the stack in containers, piece by piece, and write down what becomes of it.

``cut A:B [C:D …]``: the network between two services, each pair for a minute (``--seconds``);
what commas join breaks at the same time. ``kill NAME …``: a container's first process, by
the kernel and not the engine, which would take it for a stop that was meant. ``fill NAME …``: the
volume of that name, until nothing more goes in; only one that is a file system of its own, for
anything else would be this machine's disk.

For each: which alerts fired after how many seconds that had not fired before (``-N``: after it was
over), who fell ill or started again, and when all was well once more: containers healthy, targets
up. It watches ``--watch`` seconds longer for alerts that see it only then.

Needs root, the stack under way as `docker compose up` starts it, nsenter, iptables; DOCKER_HOST and
GNOMON_PROMETHEUS_PORT as for the stack. What it cuts and fills it mends, also when it is stopped.
"""

import argparse
import contextlib
import errno
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROMETHEUS = f"http://127.0.0.1:{os.environ.get('GNOMON_PROMETHEUS_PORT', '9090')}"
PROJECT = os.environ.get("COMPOSE_PROJECT_NAME", "gnomon")

_SETTLED_S = 600
_STEP_S = 2.0
_BLOCK = bytes(1 << 20)


@dataclass
class Seen:
    """What happened, in seconds since it began."""

    fired: dict[str, float] = field(default_factory=dict)
    ill: set[str] = field(default_factory=set)
    began: float = field(default_factory=time.monotonic)
    over: float | None = None
    well: float | None = None

    def row(self, what: str) -> str:
        """Return a line of a table."""
        over = self.over or 0.0
        fired = ", ".join(
            f"{name} {at:.0f}" + (f" (-{at - over:.0f})" if at > over else "")
            for name, at in sorted(self.fired.items(), key=lambda each: each[1])
        )
        back = "NOT" if self.well is None else f"{max(0.0, self.well - over):.0f}"
        return f"{what} | {fired or 'none'} | {', '.join(sorted(self.ill)) or '-'} | {back}"


def run(*words: str) -> str:
    """Return what a command prints. Raises CalledProcessError."""
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=120).stdout


def inspected() -> dict[str, dict[str, Any]]:
    """Return the stack's containers, by the service that each is."""
    ids = run("docker", "ps", "-aq", "--filter", f"label=com.docker.compose.project={PROJECT}")
    if not ids.split():
        sys.exit(f"no container of project {PROJECT} is here")
    found = json.loads(run("docker", "inspect", *ids.split()))
    return {one["Config"]["Labels"]["com.docker.compose.service"]: one for one in found}


def ill() -> set[str]:
    """Return the services that do not run, or not well; what ended as it should is well."""
    return {
        name
        for name, one in inspected().items()
        if (not one["State"]["Running"] and one["State"]["ExitCode"] != 0)
        or one["State"].get("Restarting")
        or one["State"].get("Health", {}).get("Status", "healthy") != "healthy"
    }


def asked(path: str) -> Any:
    """Return what Prometheus' API says; nothing while it does not answer."""
    try:
        with urllib.request.urlopen(f"{PROMETHEUS}/api/v1/{path}", timeout=10) as answer:
            return json.load(answer)["data"]
    except (OSError, ValueError):
        return None


def firing() -> set[str]:
    """Return the alerts that fire, each with what it is about."""
    found = (asked("alerts") or {}).get("alerts", [])
    return {
        "{alertname}[{about}]".format(
            alertname=alert["labels"]["alertname"],
            about=alert["labels"].get("mountpoint")
            or alert["labels"].get("instance")
            or alert["labels"].get("service", ""),
        )
        for alert in found
        if alert["state"] == "firing" and alert["labels"].get("severity") != "none"
    }


def up() -> bool:
    """Return whether every target answers."""
    found = (asked("targets?state=active") or {}).get("activeTargets", [])
    return bool(found) and all(target["health"] == "up" for target in found)


def watched(how: str, what: str, seconds: float, after: float) -> Seen:
    """Break something for ``seconds``, and watch it then and for ``after`` more."""
    before, starts = firing(), {name: one["RestartCount"] for name, one in inspected().items()}
    seen = Seen()

    def look() -> None:
        at = time.monotonic() - seen.began
        for name in firing() - before:
            seen.fired.setdefault(name, at)
        seen.ill |= ill()

    with broken(how, what):
        while time.monotonic() - seen.began < seconds:
            look()
            time.sleep(_STEP_S)
    seen.over = time.monotonic() - seen.began
    while time.monotonic() - seen.began - seen.over < _SETTLED_S:
        look()
        if seen.well is None and not ill() and up():
            seen.well = time.monotonic() - seen.began
        if seen.well is not None and time.monotonic() - seen.began - seen.over > after:
            break
        time.sleep(_STEP_S)
    again = {n for n, one in inspected().items() if one["RestartCount"] > starts.get(n, 0)}
    seen.ill = {f"{name} (restarted)" if name in again else name for name in seen.ill | again}
    return seen


@contextlib.contextmanager
def broken(how: str, what: str) -> Iterator[None]:
    """Break all that ``what`` names, and mend it at the end."""
    with contextlib.ExitStack() as stack:
        for each in what.split(","):
            stack.enter_context(HOW[how](each))
        yield


@contextlib.contextmanager
def cut(pair: str) -> Iterator[None]:
    """Drop what goes between two services, both ways, without a word."""
    one, other = (inspected()[name] for name in pair.split(":"))
    [network] = other["NetworkSettings"]["Networks"].values()
    inside = ["nsenter", "--net", "--target", str(one["State"]["Pid"]), "iptables", "--wait"]
    rules = [
        [chain, flag, network["IPAddress"], "-j", "DROP"]
        for chain, flag in (("OUTPUT", "-d"), ("INPUT", "-s"))
    ]
    for rule in rules:
        run(*inside, "-I", *rule)
    try:
        yield
    finally:
        for rule in rules:
            with contextlib.suppress(subprocess.CalledProcessError):  # the container has gone
                run(*inside, "-D", *rule)


@contextlib.contextmanager
def killed(name: str) -> Iterator[None]:
    """Kill a container's first process."""
    os.kill(inspected()[name]["State"]["Pid"], 9)
    yield


@contextlib.contextmanager
def filled(volume: str) -> Iterator[None]:
    """Leave no room in a volume."""
    [found] = json.loads(run("docker", "volume", "inspect", f"{PROJECT}_{volume}"))
    folder = Path((found["Options"] or {}).get("device") or found["Mountpoint"])
    if not os.path.ismount(folder):
        sys.exit(
            f"{volume}: {folder} is no file system of its own, and this machine needs its disk"
        )
    filler = folder / ".filler"
    try:
        with filler.open("wb", buffering=0) as file:
            for size in (len(_BLOCK), 4096):
                try:
                    while True:
                        file.write(_BLOCK[:size])
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
        yield
    finally:
        filler.unlink(missing_ok=True)


HOW = {"cut": cut, "kill": killed, "fill": filled}


def main() -> None:
    """Break what the command line names, one after the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("how", choices=HOW)
    parser.add_argument("what", nargs="+")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--watch", type=float, default=90)
    args = parser.parse_args()
    print("what | alerts after s | ill or restarted | well after s")
    for what in args.what:
        seen = watched(args.how, what, 0 if args.how == "kill" else args.seconds, args.watch)
        print(f"{time.strftime('%T')} {seen.row(what)}", flush=True)


if __name__ == "__main__":
    main()
