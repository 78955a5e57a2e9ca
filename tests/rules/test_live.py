"""The whole way: the exporter on this host, Prometheus, its rules, Alertmanager, a receiver.

The configuration is the checked-in one, with other ports and with every minute of waiting made a
second; what the rules compute is left as it is.
"""

import http.server
import json
import re
import shutil
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

import exposed
import rulebook
from gnomon_stack.alerting import apply
from gnomon_stack.home import Home
from rulebook import EVERY, ROOT
from servers import Server, fetch, free_port, program

EXPORTER = str(Path(sys.executable).with_name("gnomon-exporter"))
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

# What this stack has something of. The others' rules are evaluated here, too, and find nothing.
SUBJECTS = {"host", "meta"}
HERE = [
    rule
    for rule in EVERY
    if rule.subject in SUBJECTS or rule.group.removesuffix("-thresholds") in SUBJECTS
]

# Not every kernel has it, and the expression says what then.
DISPENSABLE = {
    "node_memory_HugePages_Total",
    "node_memory_Hugepagesize_bytes",
    "node_zfs_arc_c_min",
    "node_zfs_arc_size",
}

# How long a request takes, or which share of packets or messages fails, is no number where there
# were none.
ONLY_OF_BUSY = {
    "notifications:failed:ratio_increase7m",
    "instance_device:node_disk_wait_seconds:ratio_rate5m",
    "instance_device:node_network_errs:ratio_rate5m",
}

# The beginnings of the names of what the stack's own parts say of themselves.
WATCHING = {"prometheus", "alertmanager", "gnomon"}

WAITS = "for|keep_firing_for|interval|scrape_interval|evaluation_interval|group_wait|group_interval"


class Sink(http.server.ThreadingHTTPServer):
    """A webhook receiver that keeps what it is sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Keep)
        self.messages: list[dict[str, Any]] = []

    def alerts(self, name: str) -> list[dict[str, Any]]:
        """Return what was said of alert ``name``, in order."""
        told = [alert for message in list(self.messages) for alert in message["alerts"]]
        return [alert for alert in told if alert["labels"]["alertname"] == name]


class _Keep(http.server.BaseHTTPRequestHandler):
    server: Sink

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.messages.append(json.loads(body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep the tests' output clean."""


@dataclass(frozen=True)
class Stack:
    """Where the running parts are."""

    prometheus: str
    exporter: str
    sink: Sink
    folder: Path

    def query(self, expr: str) -> list[dict[str, Any]]:
        """Return the series that ``expr`` has now."""
        query = urllib.parse.urlencode({"query": expr})
        answer = json.loads(fetch(f"{self.prometheus}/api/v1/query?{query}", timeout=30))
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def page(self, path: str) -> Any:
        """Return what Prometheus' API says at ``path``."""
        return json.loads(fetch(f"{self.prometheus}/api/v1/{path}"))["data"]


def _quicker(text: str) -> str:
    """Make each wait of a configuration a sixtieth of what it is, at least a second."""

    def shorter(found: re.Match[str]) -> str:
        seconds = int(found[2]) * UNITS[found[3]]
        return f"{found[1]}{max(1, seconds // 60)}s" if seconds else found[0]

    return re.sub(rf"(\b(?:{WAITS}): )(\d+)([smhd])\b", shorter, text)


@pytest.fixture(scope="module")
def stack(tmp_path_factory) -> Iterator[Stack]:
    """The exporter, Prometheus, Alertmanager and a receiver, all running."""
    folder = tmp_path_factory.mktemp("stack")
    sink = Sink()
    ports = {
        "9840": free_port(),
        "9090": free_port(),
        "9093": free_port(),
    }
    others = shutil.ignore_patterns(".*", "targets", "secrets")
    for name in ("prometheus", "alertmanager"):
        shutil.copytree(ROOT / name, folder / name, ignore=others)
    for file in folder.rglob("*.yml"):
        text = file.read_text()
        for old, new in ports.items():
            text = text.replace(f"127.0.0.1:{old}", f"127.0.0.1:{new}")
        file.write_text(_quicker(text))
    (folder / "prometheus/targets").mkdir()
    told = {"GNOMON_ALERT_WEBHOOK_URL": f"http://127.0.0.1:{sink.server_port}/"}
    routes = apply.prepare(Home(folder), told, program("alertmanager"), print).config
    routes.write_text(_quicker(routes.read_text()))

    prometheus = f"http://127.0.0.1:{ports['9090']}"
    exporter = f"http://127.0.0.1:{ports['9840']}"
    alertmanager = f"http://127.0.0.1:{ports['9093']}"
    parts = {
        exporter: [EXPORTER, f"--web.listen-address=127.0.0.1:{ports['9840']}"],
        alertmanager: [
            *program("alertmanager"),
            f"--config.file={routes}",
            f"--storage.path={folder}/data/alertmanager",
            "--cluster.listen-address=",
            f"--web.listen-address=127.0.0.1:{ports['9093']}",
        ],
        prometheus: [
            *program("prometheus"),
            f"--config.file={folder}/prometheus/prometheus.yml",
            f"--storage.tsdb.path={folder}/data/prometheus",
            f"--web.listen-address=127.0.0.1:{ports['9090']}",
            f"--web.external-url={prometheus}",
        ],
    }
    with ExitStack() as running:
        running.callback(sink.server_close)
        threading.Thread(target=sink.serve_forever, daemon=True).start()
        running.callback(sink.shutdown)
        for url, words in parts.items():
            log = folder / f"{url.rpartition(':')[2]}.log"
            running.enter_context(Server(words, ready=f"{url}/-/ready", log=log))
        yield Stack(prometheus, exporter, sink, folder)


def _until(what, seconds=30):
    """Return the first true answer of ``what()``, or its last one when the time is over."""
    end = time.monotonic() + seconds
    while not (answer := what()) and time.monotonic() < end:
        time.sleep(0.2)
    return answer


def test_targets_are_named_as_people_would(stack):
    """Each has a service; a machine is called without the port of its exporter."""

    def up():
        targets = stack.page("targets")["activeTargets"]
        return {target["health"] for target in targets} == {"up"} and targets

    targets = _until(up)
    assert {t["labels"]["job"]: t["health"] for t in targets} == {
        "node": "up",
        "prometheus": "up",
        "alertmanager": "up",
    }
    assert {t["labels"]["job"]: t["labels"]["service"] for t in targets} == {
        "node": "host",
        "prometheus": "prometheus",
        "alertmanager": "alertmanager",
    }
    assert [t["labels"]["instance"] for t in targets if t["labels"]["job"] == "node"] == [
        "127.0.0.1"
    ]


def _scraped(stack):
    """Return the names of all that Prometheus has scraped from its targets."""
    return {name for name in stack.page("label/__name__/values") if ":" not in name}


@pytest.mark.parametrize(
    "rule", [rule for rule in HERE if not rule.alert], ids=lambda rule: rule.name
)
def test_a_recording_has_series_wherever_its_metrics_are(stack, rule):
    """On this host, with what it has; a recording without its metrics has none."""
    _until(lambda: stack.query("instance:node_cpu_utilisation:ratio_rate5m"))
    missing = rulebook.raw(rule) - DISPENSABLE - _scraped(stack)
    found = _until(lambda: stack.query(rule.name), seconds=0 if missing else 30)
    if not found and not missing and {rule.name, *rule.reads} & ONLY_OF_BUSY:
        pytest.skip("nothing of that kind has done anything on this host")
    assert bool(found) == (not missing), missing


@pytest.mark.parametrize(
    "name",
    sorted(
        {n for r in HERE for n in rulebook.raw(r) if n.split("_")[0] in WATCHING}
        - exposed.library()  # an application's own; none runs here
    ),
)
def test_the_watching_itself_is_measured(stack, name):
    """What rules read of Prometheus, Alertmanager and the exporter is there in these versions."""
    assert _until(lambda: stack.query(name))


def test_every_rule_is_evaluated_without_an_error(stack):
    """On real series, with all the labels and duplicates that there are."""
    _until(lambda: all(_healths(stack)))
    rules = [rule for group in stack.page("rules")["groups"] for rule in group["rules"]]
    assert len(rules) == len(EVERY)
    assert {rule["name"]: rule.get("lastError") for rule in rules if rule["health"] != "ok"} == {}


def _healths(stack):
    groups = stack.page("rules")["groups"]
    return [rule["health"] == "ok" for group in groups for rule in group["rules"]]


def test_no_collector_fails_on_a_healthy_host(stack):
    """A collector that finds nothing of its subject has no series, and so raises nothing."""
    _until(lambda: stack.query("gnomon_scrape_collector_success"))
    assert stack.query("gnomon_scrape_collector_success") != []
    # At any time, for one slow second of a busy test machine is no fault of a collector.
    failed = stack.query("max_over_time(gnomon_scrape_collector_success[5m]) == 0")
    assert [series["metric"]["collector"] for series in failed] == []


def test_the_questions_in_the_runbooks_are_answered(stack):
    """Each is PromQL that this Prometheus accepts."""
    questions = [
        question
        for page in (ROOT / "docs/runbooks").glob("*.md")
        for question in re.findall(r"^q '([^']+)'$", page.read_text(), re.MULTILINE)
    ]
    assert questions
    for question in questions:
        stack.query(question)


def test_an_alert_goes_all_the_way_and_comes_back_when_it_is_over(stack):
    """A target that does not answer is reported; so is that it answers again. Watchdog is not."""
    port = free_port()
    target = [{"targets": [f"127.0.0.1:{port}"]}]
    (stack.folder / "prometheus/targets/shop.yml").write_text(yaml.safe_dump(target))
    [told] = _until(lambda: stack.sink.alerts("TargetDown"), 60)[:1]
    assert told["status"] == "firing"
    assert told["labels"] == {
        "alertname": "TargetDown",
        "severity": "warning",
        "service": "shop",
        "component": "scrape",
        "job": "application",
        "instance": f"127.0.0.1:{port}",
        "host": "127.0.0.1",
    }
    assert told["annotations"]["summary"] == f"application on 127.0.0.1:{port} does not answer"
    assert told["annotations"]["dashboard_url"] == "/d/gnomon-meta?var-job=application"

    with Server([EXPORTER, f"--web.listen-address=127.0.0.1:{port}"], log=stack.folder / "shop"):
        over = _until(
            lambda: [a for a in stack.sink.alerts("TargetDown") if a["status"] != "firing"], 60
        )
    assert [alert["labels"]["service"] for alert in over[:1]] == ["shop"]
    assert [alert for alert in stack.page("alerts")["alerts"] if _is_watchdog(alert)]
    assert stack.sink.alerts("Watchdog") == []


def _is_watchdog(alert):
    return alert["labels"]["alertname"] == "Watchdog" and alert["state"] == "firing"
