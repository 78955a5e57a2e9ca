"""What the rules cost a Prometheus that watches 100 hosts and 50 services.

The hosts are this host's exporter, the services the demo's desk, each many times over; what
neither has (GPUs, containers, Redis, Celery, …) is taken from the rules' own tests. Only the
families that rules read, all well, each with a sample every ten seconds: scraped live by a real
Prometheus, and before that as far back as the rules look, from generated blocks. Two objectives
for each service.

For each group: how much of its interval an evaluation takes, the median of those seen; with
`BUDGET` or more the exit status is 1. Groups that run less often than every 30 s run that often
here, or none would be seen; their share is that of their own interval. What lies further back than
a day has one sample where there would be `THIN`; the time of a rule that reads it counts as many
times, which is more than it would take. Times are those of a clock, so a busy machine makes them
longer: the least ones are shown beside, and what root starts goes before others.

Run by ``make rules-cost``; takes some six minutes.
"""

import argparse
import http.server
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table
from trial import ROOT, stack

import rulebook
from gnomon_stack import loopback, ports
from gnomon_stack.parts import DEMO, EXPORTER

BUDGET = 0.1
THIN = 20

_STEP_S = 10
_DAY_S = 86400
_SHORT_S = 600  # all that is scraped reaches back at least this far
_SEEN_S = 90.0
_FIRING = 'count by (alertname) (ALERTS{alertstate="firing", alertname!="Watchdog"})'
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SERIES = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S*)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_REACH = re.compile(
    r"([a-zA-Z_:][\w:]*)(?:\{[^{}]*\})?\s*\[(\w+?)(?::\w*)?\](?:\s*offset\s+(\w+))?"
)

#: How often a label's value occurs on one host, where the tests' examples have one or two.
_MANY = {"uuid": 8, "id": 20, "cpu": 16}


def _seconds(text: str) -> int:
    """Return a duration as PromQL writes it, in seconds."""
    return sum(int(n) * _UNITS[unit] for n, unit in re.findall(r"(\d+)([smhdw])", text))


def reach(rules: Iterable[rulebook.Rule]) -> dict[str, int]:
    """Return how many seconds back the rules look at each metric, by their windows."""
    found: dict[str, int] = defaultdict(int)
    for rule in rules:
        for name, window, offset in _REACH.findall(rule.expr):
            found[name] = max(found[name], _seconds(window) + _seconds(offset))
        # A subquery over more than one metric, or an expression in brackets.
        for window, offset in re.findall(r"\)\s*\[(\w+):\w*\](?:\s*offset\s+(\w+))?", rule.expr):
            for name in rule.reads:
                found[name] = max(found[name], _seconds(window) + _seconds(offset))
    return found


#: Counters of what does not happen where all is well, by name or label.
_NEVER = re.compile(
    r"err|fail|xid|ecc|oom|drop|overflow|timeout|evict|reject|expired|refused|dead|retries|throttled"
    r'|slow|status_code="5|outcome="(failure|timeout)|starts'
)

#: Gauges that only tests have: those that are 0 where all is well, and those that are plenty.
_NOTHING = re.compile(
    r"event_reasons|remapped|recovery|queue_length|messages_ready|rq_jobs|_index|failed|resting"
    r"|oldest"
)
_PLENTY = re.compile(r"max|limit|total_bytes|quota|threshold|expiry|uptime|c_min")


@dataclass(frozen=True)
class Series:
    """One series: its page, name, labels without the target's own, and a gauge's value."""

    page: str
    name: str
    labels: str
    value: str

    @property
    def rises(self) -> bool:
        """Whether it is a counter of what goes on."""
        ending = self.name.endswith(("_total", "_count", "_sum", "_bucket"))
        return ending and not _NEVER.search(self.name + self.labels)


def _assumed(name: str, labels: str) -> str:
    """Return the value of a gauge that only tests have, where all is well."""
    if _NOTHING.search(name + labels):
        return "0"
    return "4e9" if _PLENTY.search(name) else "1"


def _counted(at: float) -> str:
    return f"{at % 10_000_000 / 7:.2f}"


class Pages(http.server.ThreadingHTTPServer):
    """The pages of all targets, rendered when they are asked for."""

    daemon_threads = True

    def __init__(self, series: Iterable[Series]) -> None:
        super().__init__(("127.0.0.1", 0), _Page)
        self.lines: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for one in series:
            value = "" if one.rises else one.value
            self.lines[one.page].append((f"{one.name}{{{one.labels}}}", value))

    def handle_error(self, *_: object) -> None:
        """Say nothing where Prometheus no longer waits for a page: `up` tells."""


class _Page(http.server.BaseHTTPRequestHandler):
    server: Pages

    def do_GET(self) -> None:
        rising = _counted(time.time())
        lines = self.server.lines[self.path[1:]]
        body = "".join(f"{name} {value or rising}\n" for name, value in lines).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep the output clean."""


def _labels(text: str, without: frozenset[str]) -> str:
    kept = [f'{name}="{value}"' for name, value in _LABEL.findall(text) if name not in without]
    return ", ".join(sorted(kept))


#: What Prometheus makes or exposes itself, and Alertmanager, which is not there.
_ITS_OWN = ("scrape_", "prometheus_", "alertmanager_")
_TARGET = frozenset({"job", "instance", "service"})


#: A series on a page: name, labels, value.
Sample = tuple[str, str, str]


def recorded(used: set[str]) -> dict[str, set[Sample]]:
    """Return the series that rules use of this host's exporter and the demo's desk.

    By a short run of the stack.
    """
    found: dict[str, set[Sample]] = {}
    with stack(ROOT / ".stack/rules-cost/recorded") as chosen:
        end = time.monotonic() + 120
        while time.monotonic() < end:
            for name, part in (("host", EXPORTER), ("service", DEMO)):
                try:
                    text = loopback.get(chosen[part], "/metrics").decode()
                except OSError:
                    continue
                found[name] = {
                    (line[1], _labels(line[2] or "", frozenset()), line[3])
                    for line in map(_SERIES.match, text.splitlines())
                    if line and line[1] in used
                }
            if {name for name, *_ in found.get("service", set())} >= {
                "http_client_request_duration_seconds_count",
                "gnomon_web_vitals_lcp_seconds_bucket",
                "gnomon_queue_completed_total",
                "gnomon_job_duration_seconds_sum",
            }:
                break
            time.sleep(2)
    return found


def exemplary(names: set[str]) -> Iterator[Sample]:
    """Yield the series of these names that the rules' tests have."""
    for path in sorted((ROOT / "prometheus/tests").glob("*.yml")):
        for case in rulebook.cases(path.stem):
            for given in case.get("input_series", []):
                series = _SERIES.match(given["series"] + " ")
                if series and series[1] in names:
                    labels = _labels(series[2] or "", _TARGET)
                    yield series[1], labels, _assumed(series[1], labels)


def _many(name: str, labels: str, value: str) -> Iterator[Sample]:
    """Yield a series as often as one host has such things."""
    for label, count in _MANY.items():
        if found := re.search(rf'\b{label}="[^"]*"', labels):
            for number in range(count):
                yield name, labels.replace(found[0], f'{label}="{number}"'), value
            return
    yield name, labels, value


def watched(used: set[str], hosts: int, services: int) -> list[Series]:
    """Return all series that are scraped."""
    real = recorded(used)
    there = {name for page in real.values() for name, *_ in page}
    own = {name for name in used if name == "up" or name.startswith(_ITS_OWN)}
    others = set(exemplary(used - there - own))
    # What an exporter tells of the machine itself is on each; of servers there is one per service.
    of_host = ("node_", "nvidia_", "container_", "gnomon_gpu_", "gnomon_scrape_")
    host = {_key(many): many for one in sorted(real["host"]) for many in _many(*one)}
    service = {_key(one): one for one in real["service"]}
    for one in sorted(others):
        if one[0].startswith(of_host):
            host |= {_key(many): many for many in _many(*one)}
        else:
            service[_key(one)] = one
    pages = {f"host-{number}": host for number in range(hosts)}
    pages |= {f"service-{number}": service for number in range(services)}
    return [Series(page, *pages[page][key]) for page in pages for key in sorted(pages[page])]


def _key(one: Sample) -> tuple[str, str]:
    return one[:2]


def _target(page: str) -> dict[str, str]:
    """Return the labels that Prometheus gives to all of a page's series."""
    kind, _, number = page.partition("-")
    if kind == "host":
        return {"job": "node", "instance": page, "service": "host"}
    return {"job": "application", "instance": f"{page}:9000", "service": f"s{number}"}


def configure(folder: Path, pages: Pages, services: int) -> dict[str, float]:
    """Write Prometheus' files; return each group's own interval in seconds, by its name."""
    shutil.copytree(
        ROOT / "prometheus",
        folder / "prometheus",
        ignore=shutil.ignore_patterns(".*", "targets", "tests", "slo"),
    )
    (folder / "prometheus/slo").mkdir()
    shutil.copy(ROOT / "supervisord.conf", folder)
    for number in range(services):
        text = (ROOT / "prometheus/slo/desk.yml").read_text().replace("desk", f"s{number}")
        wanted = yaml.safe_load(text)
        wanted["slos"] = [s for s in wanted["slos"] if s["name"].startswith("market-")]
        (folder / f"prometheus/slo/s{number}.yml").write_text(yaml.safe_dump(wanted))
    gnomon = str(Path(sys.executable).with_name("gnomon"))
    subprocess.run([gnomon, "rules"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    intervals: dict[str, float] = {}
    for path in (folder / "prometheus/rules").glob("*.yml"):
        rules = yaml.safe_load(path.read_text())
        for group in rules["groups"]:
            own = _seconds(str(group.get("interval", "10s")))
            intervals[group["name"]] = own
            group["interval"] = f"{min(own, 30)}s"
        path.write_text(yaml.safe_dump(rules, sort_keys=False, width=10_000))
    targets = [
        {
            "targets": [f"127.0.0.1:{pages.server_port}"],
            "labels": {**_target(page), "__metrics_path__": f"/{page}"},
        }
        for page in pages.lines
    ]
    config = {
        "global": {"scrape_interval": f"{_STEP_S}s", "evaluation_interval": "10s"},
        "rule_files": ["rules/*.yml"],
        "scrape_configs": [{"job_name": "watched", "static_configs": targets}],
    }
    (folder / "prometheus/prometheus.yml").write_text(yaml.safe_dump(config))
    return intervals


@contextmanager
def prometheus(folder: Path) -> Iterator[int]:
    """Run Prometheus on these files while the block runs; yield its port."""
    port = ports.free()
    words = [
        shutil.which("prometheus") or "prometheus",
        f"--config.file={folder}/prometheus/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        "--storage.tsdb.retention.time=60d",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("a") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log)
    try:
        end = time.monotonic() + 120
        while loopback.data(port, "/api/v1/rules") is None:
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"Prometheus does not start: see {folder}/prometheus.log")
            time.sleep(0.5)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def fill(folder: Path, name: str, series: Mapping[str, tuple[str, int, int]]) -> int:
    """Write history as blocks; return how many samples.

    series: by name and labels, its value ("" for one that rises), how far back it reaches and its
    step, in seconds.
    """
    now = int(time.time()) - 5
    text = folder / f"{name}.om"
    kinds: dict[tuple[str, int, int], list[str]] = {}
    count = 0
    with text.open("w") as file:
        for one, kind in series.items():
            if kind not in kinds:
                value, back, step = kind
                times = range(now - back, now, step)
                kinds[kind] = [f" {value or _counted(at)} {at}\n" for at in times]
            file.write(one + one.join(kinds[kind]))
            count += len(kinds[kind])
        file.write("# EOF\n")
    promtool = shutil.which("promtool") or "promtool"
    words = [promtool, "tsdb", "create-blocks-from", "openmetrics"]
    words += ["--max-block-duration=2000h", "--quiet", str(text), str(folder / "data")]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    text.unlink()
    return count


def _written(name: str, labels: Mapping[str, str]) -> str:
    pairs = ",".join(f"{key}={json.dumps(value)}" for key, value in labels.items())
    return f"{name}{{{pairs}}}"


def _history(name: str, back: Mapping[str, int], step: int) -> tuple[int, int]:
    """Return how far back a metric's samples reach, and their step; few of them beyond a day."""
    far = max(back.get(name, 0) + 300, _SHORT_S)
    return far, step * THIN if far > _DAY_S + 3600 else step


def raw_history(series: list[Series], back: Mapping[str, int]) -> dict[str, tuple[str, int, int]]:
    """Return the history of what is scraped."""
    found = {}
    for one in series:
        labels = {**dict(_LABEL.findall(one.labels)), **_target(one.page)}
        value = "" if one.rises else one.value
        found[_written(one.name, labels)] = (value, *_history(one.name, back, _STEP_S))
    return found


def kept_history(
    port: int, back: Mapping[str, int], steps: Mapping[str, float]
) -> dict[str, tuple[str, int, int]]:
    """Return the history of the recordings that rules look back at, by the series there are now."""
    found = {}
    for name, far in back.items():
        if name not in rulebook.RECORDINGS or far <= _SHORT_S:
            continue
        answer = loopback.data(port, "/api/v1/query", query=name) or {"result": []}
        for one in answer["result"]:
            labels = {key: text for key, text in one["metric"].items() if key != "__name__"}
            step = int(steps[rulebook.RECORDINGS[name].group])
            found[_written(name, labels)] = (one["value"][1], *_history(name, back, step))
    return found


def evaluated(port: int, seconds: float) -> dict[str, dict[str, dict[str, float]]]:
    """Return how long each rule took in each evaluation seen: by group, rule and time."""
    found: dict[str, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for group in (loopback.data(port, "/api/v1/rules") or {"groups": []})["groups"]:
            found[group["name"]][""][group["lastEvaluation"]] = group["evaluationTime"]
            for number, rule in enumerate(group["rules"]):
                key = f"{number} {rule['name']}"
                found[group["name"]][key][rule["lastEvaluation"]] = rule["evaluationTime"]
                if rule.get("lastError"):
                    raise SystemExit(f"{rule['name']}: {rule['lastError']}")
        time.sleep(4)
    return found


@dataclass(frozen=True)
class Cost:
    """One group: seconds an evaluation takes, of how many, and its heaviest rule."""

    group: str
    interval: float
    seconds: float
    least: float
    times: int
    heaviest: str
    heaviest_seconds: float

    @property
    def share(self) -> float:
        """What it takes of its interval."""
        return self.seconds / self.interval


def costs(
    seen: Mapping[str, Mapping[str, Mapping[str, float]]],
    intervals: Mapping[str, float],
    thin: set[str],
) -> list[Cost]:
    """Return the groups' costs, the largest share first. thin: rules that count `THIN` times."""
    found = []
    for group, rules in seen.items():
        medians = {}
        for key, times in rules.items():
            weight = THIN if key.partition(" ")[2] in thin else 1
            medians[key] = weight * statistics.median(times.values())
        extra = sum(s - s / THIN for key, s in medians.items() if key.partition(" ")[2] in thin)
        whole = rules[""]
        rest = {key: s for key, s in medians.items() if key} or {"0 -": 0.0}
        heaviest = max(rest, key=lambda key: rest[key])
        found.append(
            Cost(
                group,
                intervals[group],
                medians[""] + extra,
                min(whole.values()) + extra,
                len(whole),
                heaviest.partition(" ")[2],
                rest[heaviest],
            )
        )
    return sorted(found, key=lambda cost: -cost.share)


def shown(found: list[Cost]) -> Table:
    """Return the table of the groups."""
    table = Table(
        "group", "interval s", "takes ms", "least ms", "of it %", "seen", "heaviest rule", "ms"
    )
    for cost in found:
        table.add_row(
            cost.group,
            f"{cost.interval:.0f}",
            f"{1e3 * cost.seconds:.1f}",
            f"{1e3 * cost.least:.1f}",
            f"{100 * cost.share:.2f}",
            str(cost.times),
            cost.heaviest,
            f"{1e3 * cost.heaviest_seconds:.1f}",
            style="red" if cost.share >= BUDGET else None,
        )
    return table


def _settle(port: int) -> None:
    """Wait until each group has been evaluated since there were samples."""
    first = time.time() + 2 * _STEP_S + 5
    end = time.monotonic() + 120
    while time.monotonic() < end:
        groups = (loopback.data(port, "/api/v1/rules") or {"groups": []})["groups"]
        if groups and all(_at(group["lastEvaluation"]) > first for group in groups):
            return
        time.sleep(2)


def _at(text: str) -> float:
    return datetime.fromisoformat(re.sub(r"\.\d+", "", text)).timestamp()


def main() -> int:
    """Measure, print a table, and return 1 when a group is over its budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=100)
    parser.add_argument("--services", type=int, default=50)
    options = parser.parse_args()
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -15)
    console = Console(width=150)
    folder = ROOT / ".stack/rules-cost"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    start = time.monotonic()

    def say(line: str) -> None:
        console.print(f"{time.monotonic() - start:4.0f} s  {line}", highlight=False)

    back = reach(rulebook.EVERY)
    series = watched(
        set().union(*map(rulebook.raw, rulebook.EVERY)), options.hosts, options.services
    )
    say(f"{len(series)} series of {options.hosts} hosts and {options.services} services")
    pages = Pages(series)
    threading.Thread(target=pages.serve_forever, daemon=True).start()
    intervals = configure(folder, pages, options.services)
    samples = fill(folder, "raw", raw_history(series, back))
    say(f"{samples} samples of the past of what is scraped")
    with prometheus(folder) as port:
        _settle(port)
        _settle(port)  # recordings of recordings
        kept = kept_history(port, back, intervals)
    samples = fill(folder, "kept", kept)
    say(f"{samples} samples of the past of {len(kept)} recorded series")
    with prometheus(folder) as port:
        _settle(port)
        seen = evaluated(port, _SEEN_S)
        head = loopback.data(port, "/api/v1/status/tsdb") or {}
        firing = loopback.data(port, "/api/v1/query", query=_FIRING) or {"result": []}
    pages.shutdown()
    for one in firing["result"]:
        say(
            f"{one['value'][1]} of {one['metric']['alertname']} fire, which costs more than silence"
        )
    heads = (head.get("headStats") or {}).get("numSeries")
    say(f"{heads} series in Prometheus, recorded ones included")
    far = {name for name, seconds in back.items() if seconds > _DAY_S + 3300}
    thin = {rule.name for rule in rulebook.EVERY if rule.reads & far and _looks_far(rule)}
    found = costs(seen, intervals, thin)
    console.print(shown(found))
    total = sum(cost.share for cost in found)
    heaviest = max(found, key=lambda cost: cost.heaviest_seconds / cost.interval)
    console.print(
        f"All groups together: {total:.2f} of one processor. The heaviest rule is "
        f"{heaviest.heaviest} of {heaviest.group}: {1e3 * heaviest.heaviest_seconds:.1f} ms "
        f"every {heaviest.interval:.0f} s."
    )
    over = [cost.group for cost in found if cost.share >= BUDGET]
    for group in over:
        console.print(
            f"over budget: {group} takes {BUDGET:.0%} of its interval or more", style="red"
        )
    shutil.rmtree(folder / "data", ignore_errors=True)
    return 1 if over else 0


def _looks_far(rule: rulebook.Rule) -> bool:
    """Whether a rule itself reads further back than a day."""
    return any(seconds > _DAY_S + 3300 for seconds in reach([rule]).values())


if __name__ == "__main__":
    sys.exit(main())
