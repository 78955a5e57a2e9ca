"""The trial of the alerts: silence under ordinary load, and each fault of the demo named in time.

The checked-in configuration, rules, thresholds and demo run in a folder of their own, on free
ports; nothing is changed for the trial. First ordinary load, under which nothing but Watchdog may
fire. Then one fault after another: the alert that belongs to it fires within `PROMISED_S` and ends
after the fault, and what fires besides is one of its consequences listed in `FAULTS`.

`make trial` runs it: an hour and a half in all, less by ``--minutes`` and ``--faults``. What every
alert was at each evaluation (the series ALERTS) is left in .stack/trial/ as its record. The exit
status is 1 where the verdict is bad.
"""

import argparse
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from gnomon_stack import loopback, ports
from gnomon_stack.parts import DEMO, PARTS, PROMETHEUS, Part

ROOT = Path(__file__).resolve().parents[1]

#: What is told to nobody: Watchdog, which always fires, and what Alertmanager inhibits by.
_NOBODY = "none"

#: Alerts about the processors of the machine that the trial runs on. They are true, and no false
#: alarms, where others use more of it than all that the trial runs.
_BUSY = frozenset(
    {"HostCPUSaturated", "HostRunQueueLong", "HostRunQueueRunaway", "HostMemoryPressure"}
)

#: Seconds within which each fault has to be named, and within which its alert has to end after it.
PROMISED_S = 300.0
RESOLVED_S = 900.0

#: A fault goes on this long after it was named: what else follows from it shall have its chance.
_AFTER_S = 60.0

#: How long the windows of five minutes, and who looks at them, still see a fault that is over.
_SEEN_S = 360.0

_LOOK_S = 1.0


@dataclass(frozen=True)
class Fault:
    """A fault of the demo: the alert that names it, and what may fire besides, each with why.

    first: the consequence that has to fire before all others and before the alert.
    """

    alert: str
    consequences: Mapping[str, str]
    first: str = ""


def _promises(why: str) -> dict[str, str]:
    """Return the objectives' alerts: a young Prometheus knows little more than one fault."""
    names = ("SLOFastBurn", "SLOSlowBurn", "SLOBudgetExhausted", "SLOBudgetForecast")
    return dict.fromkeys(names, why)


FAULTS = {
    "outage": Fault(
        "DependencyFailing",
        {
            "ServiceErrorsHigh": "the exchange, which fails, is watched as a service of its own",
            "CacheHitRatioLow": "what cannot be loaded is in no cache the next time either",
            "JobFailing": "refresh_prices asks the exchange",
            **_promises("the exchange and the jobs that ask it have objectives"),
        },
    ),
    "backlog": Fault(
        "QueueBacklogGrowing", {"QueueOldestItemTooOld": "what is less urgent waits for the rest"}
    ),
    "cache-storm": Fault("CacheHitRatioLow", {}),
    "pool": Fault(
        "DatabasePoolExhausted",
        {
            "DatabasePoolNearlyExhausted": "it comes first, while everybody still gets one",
            "DatabasePoolTimeouts": "who waits for a connection gives up in the end",
            "DatabasePoolWaitHigh": "until then it waits",
            "ServiceErrorsHigh": "requests that need the database fail",
            "ServiceLatencyHigh": "and only after they have waited",
            "QueueFailuresHigh": "recordings are written down in the database",
            "JobFailing": "jobs need the database",
            **_promises("requests and jobs that need the database fail"),
        },
        first="DatabasePoolNearlyExhausted",
    ),
    "leak": Fault("ServiceMemoryLeaking", {}),
    "slow": Fault("ServiceLatencyHigh", _promises("300 ms are promised")),
    "errors": Fault(
        "ServiceErrorsHigh",
        {
            "QueueFailuresHigh": "the fault lets recordings fail as well",
            "QueueDeadItems": "some of them in all three tries",
            **_promises("few failures are promised"),
        },
    ),
}


@dataclass
class Episode:
    """One alert from its first firing to its end; times in Unix seconds."""

    labels: dict[str, str]
    active: float
    fired: float
    ended: float | None = None

    @property
    def name(self) -> str:
        """The alert's name."""
        return self.labels["alertname"]

    def __str__(self) -> str:
        """Name it with what tells it from others of its name."""
        shown = (
            "severity",
            "component",
            "service",
            "instance",
            "job",
            "alertname",
            "sloth_service",
        )
        rest = ", ".join(v for k, v in sorted(self.labels.items()) if k not in shown)
        return f"{self.name} ({rest})" if rest else self.name


class Watch:
    """Every alert that fires, seen at Prometheus once a second."""

    def __init__(self, port: int, say: "Says", machine: "Machine") -> None:
        self._port = port
        self._machine = machine
        self._say = say
        self.episodes: list[Episode] = []
        self._open: dict[str, Episode] = {}

    def look(self) -> None:
        """Take up what Prometheus says now; nothing where it does not answer in time."""
        data = loopback.data(self._port, "/api/v1/alerts")
        if data is None:
            return
        now = time.time()
        firing = {
            json.dumps(alert["labels"], sort_keys=True): alert
            for alert in data["alerts"]
            if alert["state"] == "firing" and alert["labels"]["severity"] != _NOBODY
        }
        for key, alert in firing.items():
            if key not in self._open:
                episode = Episode(alert["labels"], _seconds(alert["activeAt"]), now)
                self._open[key] = episode
                self.episodes.append(episode)
                self._say(f"fires: {episode} — {alert['annotations'].get('summary', '')}")
        for key in self._open.keys() - firing.keys():
            episode = self._open.pop(key)
            episode.ended = now
            self._say(f"ended: {episode}")

    def until(self, seconds: float, name: str = "", *, firing: bool = True) -> float | None:
        """Look until an alert of that name fires, or none does; return the seconds it took.

        None where it did not come to that in time, as without a name it never does.
        """
        start = time.time()
        while True:
            self.look()
            if name and any(e.name == name for e in self._open.values()) == firing:
                return time.time() - start
            if time.time() - start > seconds:
                return None
            self._machine.look()
            time.sleep(_LOOK_S)


def _seconds(text: str) -> float:
    """Return a time of Prometheus' API, which may have nanoseconds, as Unix seconds."""
    whole = text.rstrip("Z").partition(".")[0]
    return datetime.fromisoformat(f"{whole}+00:00").timestamp()


class Machine:
    """How busy the machine is, and how much of that is the trial's own doing, in processors."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._busy = self._all()
        self._known: dict[int, float] = {}

    def look(self) -> None:
        """Take up what the trial's processes have used; those that end are counted up to here."""
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                times = process.cpu_times()
                self._known[process.pid] = times.user + times.system

    @property
    def busy(self) -> float:
        """Processors in use since the start."""
        return (self._all() - self._busy) / (time.monotonic() - self._start)

    @property
    def ours(self) -> float:
        """Of these, the trial's."""
        return sum(self._known.values()) / (time.monotonic() - self._start)

    @property
    def crowded(self) -> bool:
        """Whether others use more of it than the trial."""
        return self.busy - self.ours > self.ours

    def __str__(self) -> str:
        """Say both."""
        return f"{self.busy:.2f} of {os.cpu_count()} processors busy, {self.ours:.2f} by the trial"

    @staticmethod
    def _all() -> float:
        times = psutil.cpu_times()
        return float(sum(times) - times.idle - getattr(times, "iowait", 0.0))


class Says:
    """Prints lines with the time since the start."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def __call__(self, line: str) -> None:
        """Print a line."""
        passed = int(time.monotonic() - self._start)
        print(f"{passed // 60:3d}:{passed % 60:02d}  {line}", flush=True)


@contextmanager
def stack(folder: Path) -> Iterator[dict[Part, int]]:
    """Run the stack in a folder of its own, on free ports, while the block runs."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    own = shutil.ignore_patterns(".*", "targets", "secrets")  # nobody's own targets, nobody's mail
    for name in ("prometheus", "alertmanager"):
        shutil.copytree(ROOT / name, folder / name, ignore=own)
    (folder / "prometheus/targets").mkdir()
    shutil.copy(ROOT / "supervisord.conf", folder)
    (folder / ".stack").mkdir(mode=0o700)
    if (programs := ROOT / ".stack/programs").is_dir():
        (folder / ".stack/programs").symlink_to(programs)
    chosen = {part: ports.free() for part in PARTS}
    environ = {key: text for key, text in os.environ.items() if not key.startswith("GNOMON_")}
    environ |= {part.variable: str(port) for part, port in chosen.items()}
    with (folder / "up.log").open("w") as log:
        words = [str(Path(sys.executable).with_name("gnomon")), "up"]
        up = subprocess.Popen(words, cwd=folder, env=environ, stdout=log, stderr=log)
    try:
        end = time.monotonic() + 180
        while not loopback.data(chosen[PROMETHEUS], "/api/v1/alerts"):
            if up.poll() is not None or time.monotonic() > end:
                raise SystemExit((folder / "up.log").read_text() or "the stack does not answer")
            time.sleep(1)
        yield chosen
    finally:
        up.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            up.wait(60)
        if up.poll() is None:
            up.kill()


def ask(port: int, method: str, path: str) -> None:
    """Ask the demo for a fault or its end, as often as it takes: a fault may hit the asking too."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    for _ in range(10):
        with suppress(OSError), direct.open(request, timeout=10):
            return
        time.sleep(1)
    raise SystemExit(f"the demo does not answer {method} {path}")


@dataclass
class Result:
    """How a fault went; seconds, None where it took too long."""

    name: str
    begun: float
    ended: float = math.inf
    fired: float | None = None
    resolved: float | None = None
    own: set[str] = field(default_factory=set)
    consequences: set[str] = field(default_factory=set)
    unrelated: set[str] = field(default_factory=set)
    too_early: set[str] = field(default_factory=set)

    @property
    def good(self) -> bool:
        """Whether the alert fired and ended in time, in order, and nothing unrelated fired."""
        in_time = self.fired is not None and self.resolved is not None
        return in_time and not self.unrelated and not self.too_early

    def order(self, name: str) -> None:
        """Note an alert of the fault, the next that fired, if another had to fire before it."""
        first = FAULTS[self.name].first
        if first and name != first and first not in self.consequences:
            self.too_early.add(name)


def try_fault(name: str, watch: Watch, demo: int, say: Says) -> Result:
    """Have the fault begin, be named, and end."""
    alert = FAULTS[name].alert
    result = Result(name, time.time())
    say(f"fault {name}: {alert} has {PROMISED_S:.0f} s")
    ask(demo, "POST", f"/faults/{name}?seconds={PROMISED_S + _AFTER_S + 60:.0f}")
    result.fired = watch.until(PROMISED_S, alert)
    if result.fired is None:
        say(f"fault {name}: not named within {PROMISED_S:.0f} s")
    else:
        watch.until(_AFTER_S)
    ask(demo, "DELETE", f"/faults/{name}")
    result.ended = time.time()
    say(f"fault {name} has ended")
    result.resolved = watch.until(RESOLVED_S, alert, firing=False)
    return result


def judge(results: list[Result], episodes: list[Episode]) -> None:
    """Give each alert to the fault under which its condition began, however late it fired.

    Or to the fault before, where it is one of its consequences and that was over but a moment ago.
    """
    for episode in episodes:
        began = [result for result in results if result.begun <= episode.active + 1]
        if not began:
            continue
        result, fault = began[-1], FAULTS[began[-1].name]
        if episode.name == fault.alert:
            result.order(episode.name)
            result.own.add(str(episode))
            continue
        seen = [one for one in began if one is result or one.ended + _SEEN_S > episode.active]
        for one in reversed(seen):
            if (
                episode.name in FAULTS[one.name].consequences
                or episode.name == FAULTS[one.name].alert
            ):
                one.order(episode.name)
                one.consequences.add(episode.name)
                break
        else:
            result.unrelated.add(str(episode))


def record(port: int, start: float, folder: Path, verdict: Mapping[str, Any]) -> None:
    """Keep the series ALERTS of the whole trial, and the verdict."""
    series = loopback.data(
        port,
        "/api/v1/query_range",
        query="ALERTS",
        start=f"{start:.0f}",
        end=f"{time.time():.0f}",
        step="10",
    )
    text = json.dumps({**verdict, "alerts": (series or {}).get("result")}, indent=1)
    (folder / "record.json").write_text(text)


def what_runs() -> dict[str, str]:
    """Return which commit is on trial, and what differs from it of what the trial depends on."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    changed = git(
        "status", "--short", "--", "prometheus", "demo", "stack", "instrumentation", "exporter"
    )
    return {"commit": git("rev-parse", "HEAD"), "changed": changed}


def shown(results: list[Result]) -> Table:
    """Return the table of the faults."""
    table = Table(
        *("fault", "alert", "s to fire", "s to resolve", "consequences", "unrelated", "too early")
    )
    for result in results:
        table.add_row(
            result.name,
            FAULTS[result.name].alert,
            *("never" if s is None else f"{s:.0f}" for s in (result.fired, result.resolved)),
            "\n".join(sorted(result.consequences)),
            "\n".join(sorted(result.unrelated)),
            "\n".join(sorted(result.too_early)),
            style=None if result.good else "red",
        )
    return table


def main() -> int:
    """Run the trial, print what came of it, and return 1 where it went badly."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20, help="of ordinary load")
    parser.add_argument("--faults", nargs="*", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--folder", type=Path, default=ROOT / ".stack/trial")
    options = parser.parse_args()
    say = Says()
    results: list[Result] = []
    start = time.time()
    with stack(options.folder) as chosen:
        say(f"Prometheus on {chosen[PROMETHEUS]}, the demo on {chosen[DEMO]}")
        machine = Machine()
        watch = Watch(chosen[PROMETHEUS], say, machine)
        watch.until(60 * options.minutes)
        outside = _BUSY if machine.crowded else frozenset()
        false_alarms = sorted(str(one) for one in watch.episodes if one.name not in outside)
        silence = ", ".join(false_alarms) or "no false alarm"
        say(f"{options.minutes:g} minutes of ordinary load: {silence}; {machine}")
        try:
            results.extend(try_fault(n, watch, chosen[DEMO], say) for n in options.faults)
        finally:
            outside = _BUSY if machine.crowded else frozenset()
            judge(results, [one for one in watch.episodes if one.name not in outside])
            verdict = {
                **what_runs(),
                "machine": str(machine),
                "outside": sorted({one.name for one in watch.episodes if one.name in outside}),
                "minutes": options.minutes,
                "false_alarms": false_alarms,
                "episodes": [vars(episode) for episode in watch.episodes],
                "faults": [
                    {
                        **vars(r),
                        "own": sorted(r.own),
                        "consequences": sorted(r.consequences),
                        "unrelated": sorted(r.unrelated),
                        "too_early": sorted(r.too_early),
                        "good": r.good,
                    }
                    for r in results
                ],
            }
            record(chosen[PROMETHEUS], start, options.folder, verdict)
    console = Console(width=150)
    if results:
        console.print(shown(results))
    console.print(
        f"Ordinary load: {len(false_alarms)} false alarms in {options.minutes:g} minutes."
    )
    console.print(f"The machine: {verdict['machine']}.")
    if verdict["outside"]:
        console.print(f"True, by the work of others on it: {', '.join(verdict['outside'])}.")
    console.print(f"The record: {options.folder / 'record.json'}")
    return 0 if not false_alarms and all(result.good for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
