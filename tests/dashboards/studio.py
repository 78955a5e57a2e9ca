"""Everything that a dashboard can ask about, running: real servers on free ports of loopback.

The demo under a little load, gnomon-exporter on a machine that has everything, Redis, memcached,
Celery, RQ, RabbitMQ, PostgreSQL, blackbox_exporter, Alertmanager; and a Prometheus or several over
all of it, with the checked-in configuration, rules and thresholds, and five weeks of history.

`python tests/dashboards/studio.py FOLDER` runs it until it is told to end, for people: FOLDER/all
says where its parts are.
"""

import http.server
import json
import os
import re
import shutil
import signal
import ssl
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

import certificates
import servers
from brokers import celery_workers, rabbitmq_server
from caches import memcached_server, redis_server
from dashboards import asked, history
from databases import postgresql_server
from gnomon_stack import thresholds
from gnomon_stack.alerting import apply
from gnomon_stack.home import Home
from servers import ROOT, Server, free_port, program

HERE = Path(__file__).parent

#: What everything costs here; without prices nothing does.
PRICES = {
    "cost_machine:per_hour": 0.05,
    "cost_cpu:per_hour": 0.02,
    "cost_memory_gigabyte:per_hour": 0.004,
    "cost_disk_gigabyte:per_month": 0.08,
    "cost_gpu:per_hour": 1.9,
    "cost_budget:per_month": 6000,
}

#: Groups of processes, by a pattern of their command lines.
_GROUPS = {"desk": "gnomon_demo desk", "redis": "redis-server", "postgres": "postgres"}

_DAYS_KEPT = 40

#: For a server to start; all of them start on one machine, whose other work nobody knows.
_PATIENCE_S = 180.0


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How soon things happen.

    scrape: how often targets are asked. slow: how often the rules that run every minute or less
    run. waits: what the waiting time of an alert is divided by. people: who use the demo.
    """

    scrape: str
    slow: str
    waits: int
    people: int


#: For a test, which waits for all of it.
QUICK = Pace(scrape="5s", slow="15s", waits=60, people=8)
#: For people, who look at it for an hour, on a machine with other work.
CALM = Pace(scrape="10s", slow="1m", waits=1, people=8)


@dataclass
class Prometheus:
    """One that runs: its address and its folder."""

    url: str
    folder: Path
    words: list[str]
    server: Server | None = None
    started_s: float = 0.0

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        self.started_s = self.started_s or time.monotonic()
        self.server = Server(
            self.words, ready=f"{self.url}/-/ready", log=self.folder / "log", deadline_s=_PATIENCE_S
        )
        self.server.__enter__()

    def stop(self) -> None:
        """Let it end by itself."""
        if self.server is not None:
            self.server.stop(patience_s=20)
            self.server = None

    def ask(self, expr: str, **more: str) -> list[dict[str, Any]]:
        """Return the series that an expression has now."""
        query = urllib.parse.urlencode({"query": expr, **more})
        answer = json.loads(servers.fetch(f"{self.url}/api/v1/query?{query}", timeout=60))
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def rules(self) -> list[dict[str, Any]]:
        """Return all rules, with how they are."""
        answer = json.loads(servers.fetch(f"{self.url}/api/v1/rules", timeout=60))
        return [rule for group in answer["data"]["groups"] for rule in group["rules"]]


@dataclass
class Studio:
    """What runs: addresses by name ("desk", "alertmanager", …), and each Prometheus by its name."""

    addresses: dict[str, str] = field(default_factory=dict)
    prometheus: dict[str, Prometheus] = field(default_factory=dict)


def wait(what: Callable[[], Any], within_s: float, name: str) -> Any:
    """Return the first true answer of ``what()``; fail after so many seconds."""
    end = time.monotonic() + within_s
    while not (answer := what()):
        assert time.monotonic() < end, f"{name}: not within {within_s:.0f} s"
        time.sleep(0.5)
    return answer


class _Ok(http.server.BaseHTTPRequestHandler):
    """Answers everything with success: a page over TLS, and where alerts are sent to."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Keep the output clean."""


@contextmanager
def _answering(tls: ssl.SSLContext | None = None) -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Ok)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def studio(
    folder: Path, versions: Mapping[str, list[str]], *, pace: Pace = QUICK
) -> Iterator[Studio]:
    """Run it all while the block runs; skip (in CI: fail) where a server is not installed.

    versions: the words that start each Prometheus, by a name.
    """
    made = Studio()
    with ExitStack() as running:
        for part in (_stores, _exporter, _demo, _shop, _traffic, _outside, _alertmanager):
            part(made, folder, running, pace)
        for name, words in versions.items():
            _prometheus(made, folder / name, running, name, words, pace)
        yield made


def _stores(made: Studio, folder: Path, running: ExitStack, pace: Pace) -> None:
    """Start what keeps data and messages."""
    del pace
    port, _ = running.enter_context(redis_server(_new(folder / "redis"), "--maxmemory", "64mb"))
    made.addresses["redis"] = f"127.0.0.1:{port}"
    replica, _ = running.enter_context(
        redis_server(_new(folder / "replica"), "--replicaof", "127.0.0.1", f"{port}")
    )
    made.addresses["replica"] = f"127.0.0.1:{replica}"
    memcached, _ = running.enter_context(memcached_server(_new(folder / "memcached")))
    made.addresses["memcached"] = f"127.0.0.1:{memcached}"
    broker = running.enter_context(rabbitmq_server(_new(folder / "rabbitmq")))
    made.addresses["rabbitmq"] = f"127.0.0.1:{broker.port}"
    made.addresses["rabbitmq-metrics"] = f"127.0.0.1:{broker.metrics_port}"
    database = running.enter_context(postgresql_server())
    made.addresses["postgresql"] = database.url()
    made.addresses["postgresql-asyncpg"] = database.url("asyncpg")


def _exporter(made: Studio, folder: Path, running: ExitStack, pace: Pace) -> None:
    del pace
    redis = f"redis://{made.addresses['redis']}"
    collectors = {
        "cgroup": {},
        "celery": {"address": f"{redis}/1", "inspect_interval": 5.0},
        "memcached": {"address": made.addresses["memcached"]},
        "processes": {"groups": [f"{name}={word}" for name, word in _GROUPS.items()]},
        "redis": {"address": redis, "keys": ["mail"], "streams": ["events"]},
        "rq": {"address": redis},
    }
    config = folder / "exporter.yml"
    config.write_text(json.dumps({"collectors": collectors}))  # JSON is YAML, too
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    words = [sys.executable, str(HERE / "machine.py"), f"--config.file={config}"]
    words += [f"--web.listen-address=127.0.0.1:{port}"]
    env = {"GNOMON_TEST_FOLDER": str(folder), "PYTHONPATH": str(ROOT / "tests")}
    running.enter_context(
        Server(
            words,
            ready=f"{url}/metrics",
            log=folder / "exporter.log",
            env=env,
            deadline_s=_PATIENCE_S,
        )
    )
    made.addresses["exporter"] = url
    port = free_port()
    words = [str(Path(sys.executable).with_name("gnomon-exporter")), "--collector.disable-defaults"]
    words += ["--collector.redis", f"--collector.redis.address={made.addresses['replica']}"]
    words += [f"--web.listen-address=127.0.0.1:{port}"]
    running.enter_context(
        Server(
            words,
            ready=f"http://127.0.0.1:{port}/metrics",
            log=folder / "replica.log",
            deadline_s=_PATIENCE_S,
        )
    )
    made.addresses["replica-exporter"] = f"127.0.0.1:{port}"


def _demo(made: Studio, folder: Path, running: ExitStack, pace: Pace) -> None:
    """Start the desk, the exchange that it asks, and who uses it."""
    ports = {name: free_port() for name in ("desk", "exchange")}
    env = {
        "GNOMON_DEMO_PORT": str(ports["desk"]),
        "GNOMON_EXCHANGE_PORT": str(ports["exchange"]),
        "GNOMON_DEMO_DATA": str(folder / "demo"),
        "GNOMON_DEMO_DATABASE": made.addresses["postgresql-asyncpg"],
        "GNOMON_DEMO_REDIS": f"redis://{made.addresses['redis']}/2",
    }
    for name in ("exchange", "desk"):
        url = f"http://127.0.0.1:{ports[name]}"
        words = [sys.executable, "-m", "gnomon_demo", name]
        log = folder / f"{name}.log"
        running.enter_context(
            Server(words, ready=f"{url}/-/ready", log=log, env=env, deadline_s=_PATIENCE_S)
        )
        made.addresses[name] = url
    words = [sys.executable, "-m", "locust", "--locustfile", str(HERE / "people.py")]
    words += ["--headless", "--only-summary", "--host", made.addresses["desk"]]
    words += ["--users", str(pace.people), "--spawn-rate", "2"]
    running.enter_context(Server(words, log=folder / "people.log", env=env))


def _shop(made: Studio, folder: Path, running: ExitStack, pace: Pace) -> None:
    """Start the service that does what the demo does not."""
    del pace
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    words = [sys.executable, str(HERE / "shop.py"), str(port)]
    env = {"PYTHONPATH": str(ROOT / "tests")}
    running.enter_context(
        Server(
            words, ready=f"{url}/metrics", log=folder / "shop.log", env=env, deadline_s=_PATIENCE_S
        )
    )
    made.addresses["shop"] = url


def _traffic(made: Studio, folder: Path, running: ExitStack, pace: Pace) -> None:
    """Let the stores be used by what they are used by."""
    del pace
    redis = f"redis://{made.addresses['redis']}"
    rq = Path(sys.executable).with_name("rq")
    words = [str(rq), "worker", "--url", f"{redis}/0", "reports"]
    running.enter_context(Server(words, log=folder / "rq.log", cwd=ROOT / "tests"))
    workers = {"anna": "--pool solo"}
    running.enter_context(celery_workers(f"{redis}/1", folder, **workers))
    ports = [
        urllib.parse.urlsplit(f"//{made.addresses[name]}").port
        for name in ("redis", "memcached", "rabbitmq")
    ]
    desk = urllib.parse.urlsplit(made.addresses["desk"]).port
    words = [sys.executable, str(HERE / "traffic.py"), *(str(port) for port in (*ports, desk))]
    words.append(made.addresses["postgresql"])
    env = {"PYTHONPATH": str(ROOT / "tests")}
    running.enter_context(Server(words, log=folder / "traffic.log", env=env))


def _outside(made: Studio, folder: Path, running: ExitStack, pace: Pace) -> None:
    """Start blackbox_exporter, and something to ask over TLS."""
    del pace
    authority = certificates.Authority()
    (folder / "ca.pem").write_text(authority.pem)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*authority.server(folder))
    made.addresses["tls"] = f"127.0.0.1:{running.enter_context(_answering(tls))}"
    config = yaml.safe_load((ROOT / "prometheus/blackbox.yml").read_text())
    trusted = {"ca_file": str(folder / "ca.pem")}
    config["modules"]["https"]["http"]["tls_config"] = trusted
    config["modules"]["tls"]["tcp"]["tls_config"] = trusted
    (folder / "blackbox.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    words = [*program("prometheus-blackbox-exporter"), f"--config.file={folder}/blackbox.yml"]
    words += [f"--web.listen-address=127.0.0.1:{port}"]
    url = f"http://127.0.0.1:{port}"
    running.enter_context(
        Server(words, ready=f"{url}/-/healthy", log=folder / "blackbox.log", deadline_s=_PATIENCE_S)
    )
    made.addresses["blackbox"] = url


def _alertmanager(made: Studio, folder: Path, running: ExitStack, pace: Pace) -> None:
    del pace
    house = _new(folder / "house")
    shutil.copytree(
        ROOT / "alertmanager", house / "alertmanager", ignore=shutil.ignore_patterns("secrets")
    )
    home = Home(house)
    home.prepare()
    told = f"http://127.0.0.1:{running.enter_context(_answering())}/"
    words = program("alertmanager")
    config = apply.prepare(home, {"GNOMON_ALERT_WEBHOOK_URL": told}, words, lambda _: None).config
    url = f"http://127.0.0.1:{free_port()}"
    words += [f"--config.file={config}", f"--storage.path={folder}/alertmanager"]
    words += ["--cluster.listen-address=", f"--web.listen-address={url.removeprefix('http://')}"]
    log = folder / "alertmanager.log"
    running.enter_context(Server(words, ready=f"{url}/-/ready", log=log, deadline_s=_PATIENCE_S))
    made.addresses["alertmanager"] = url


def _prometheus(
    made: Studio, folder: Path, running: ExitStack, name: str, words: list[str], pace: Pace
) -> None:
    port = free_port()
    configured(made, folder, port, pace)
    url = f"http://127.0.0.1:{port}"
    found = Prometheus(
        url,
        folder,
        [
            *words,
            f"--config.file={folder}/prometheus/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            f"--storage.tsdb.retention.time={_DAYS_KEPT}d",
            "--storage.tsdb.retention.size=5GB",  # as in the stack: a dashboard draws it
            "--enable-feature=exemplar-storage",
            f"--web.listen-address=127.0.0.1:{port}",
            f"--web.external-url={url}",
        ],
    )
    running.callback(found.stop)
    found.start()
    made.prometheus[name] = found


def configured(made: Studio, folder: Path, port: int, pace: Pace) -> None:
    """Copy the configuration into a folder, for a Prometheus on this port and its targets."""
    here = folder / "prometheus"
    shutil.copytree(
        ROOT / "prometheus", here, ignore=shutil.ignore_patterns(".*", "targets", "tests")
    )
    text = (here / "prometheus.yml").read_text()
    moved = {"9840": "exporter", "9093": "alertmanager", "9115": "blackbox"}
    for old, part in moved.items():
        new = made.addresses[part].removeprefix("http://")
        text = text.replace(f"127.0.0.1:{old}", new)
    text = text.replace("127.0.0.1:9090", f"127.0.0.1:{port}")
    text = text.replace("_interval: 10s", f"_interval: {pace.scrape}")
    # One exporter for one machine, and here another for the second Redis.
    text += (
        "\n  - job_name: redis\n    static_configs:\n"
        f"      - targets: ['{made.addresses['replica-exporter']}']\n"
        "        labels: {service: cache}\n"
    )
    (here / "prometheus.yml").write_text(text)
    priced(here)
    for file in (here / "rules").glob("*.yml"):
        file.write_text(_paced(file.read_text(), pace))
    _targets(made, here / "targets")


def priced(folder: Path) -> None:
    """Put the prices into a folder's thresholds.yml, and make its rules of that."""
    text = (folder / "thresholds.yml").read_text()
    for price, value in PRICES.items():
        text, found = re.subn(rf"(  {price}:\n.*\n    value:) 0\n", rf"\1 {value}\n", text)
        assert found == 1, price
    (folder / "thresholds.yml").write_text(text)
    made = thresholds.rules(thresholds.read(folder / "thresholds.yml"))
    (folder / "rules/thresholds.yml").write_text(made)


def _paced(text: str, pace: Pace) -> str:
    """Let slow groups run more often, and alerts wait less."""

    def sooner(found: re.Match[str]) -> str:
        waits = history.seconds(found[2]) // pace.waits
        return f"{found[1]}{max(1, waits)}s" if waits else found[0]

    # A process is grown up sooner, too.
    text = text.replace(
        "process_start_time_seconds > 300", f"process_start_time_seconds > {300 // pace.waits}"
    )
    text = re.sub(r"(\binterval: )\d+m\b", rf"\g<1>{pace.slow}", text)
    return re.sub(r"(\b(?:for|keep_firing_for): )(\d+[smhd])\b", sooner, text)


def _targets(made: Studio, folder: Path) -> None:
    """Write what is scraped and asked for from outside; one endpoint is not there."""
    at = {name: url.removeprefix("http://") for name, url in made.addresses.items()}
    for service in ("desk", "exchange", "shop"):
        _file(folder / f"{service}.yml", [(service, {}, [at[service]])])
    _file(folder / "rabbitmq/broker.yml", [("broker", {}, [at["rabbitmq-metrics"]])])
    _file(
        folder / "probe/desk.yml",
        [
            ("desk", {}, [f"{made.addresses['desk']}/-/ready", f"{made.addresses['desk']}/"]),
            ("exchange", {}, [f"{made.addresses['exchange']}/-/ready"]),
            ("vault", {"module": "https"}, [f"https://{at['tls']}/"]),
            ("vault", {"module": "tls"}, [at["tls"]]),
            ("vault", {"module": "tcp"}, [at["redis"], f"127.0.0.1:{free_port()}"]),
        ],
    )


def _file(path: Path, groups: list[tuple[str, dict[str, str], list[str]]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = [
        {"targets": targets, "labels": {"service": service, **labels}}
        for service, labels, targets in groups
    ]
    path.write_text(json.dumps(text))  # JSON is YAML, too


def _new(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


#: What has to be there before history is made to continue it.
FIRST = (
    'service:http_requests:rate5m{service="desk"}',
    'service:http_requests:rate5m{service="exchange"}',
    'slo:sli_total:rate5m{sloth_id="desk-market-latency"}',
    "resource:saturation:ratio",
    "cost:total:per_hour",
    "service:cost:per_hour",
    'anomaly:level:last5m{anomaly_name="traffic"}',
    'anomaly:level:last5m{anomaly_name="queue_depth"}',
    "slo:sli_error:ratio_rate3d",
)


def remember(
    made: Studio, promtool: list[str], names: Mapping[str, set[history.Past]]
) -> tuple[int, int]:
    """Give each Prometheus its history, once there is something for it to continue.

    names: from ``history.reach``. Returns how many series and samples that are.
    """
    first, *_ = made.prometheus.values()
    for prometheus in made.prometheus.values():
        for expr in FIRST:
            wait(lambda p=prometheus, e=expr: p.ask(e), 240, expr)
    past = first.folder / "past"
    age_s = time.monotonic() - first.started_s
    count = history.write(first.ask, names, past, promtool, age_s)
    for prometheus in made.prometheus.values():
        prometheus.stop()
        for block in (past / "blocks").iterdir():
            shutil.copytree(block, prometheus.folder / "data" / block.name)
        prometheus.start()
    shutil.rmtree(past)
    return count


def _main(folder: Path) -> None:
    """Run it for people."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    for name in ("url", "all"):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / "run", ignore_errors=True)
    run = _new(folder / "run")
    newer = os.environ.get("GNOMON_TEST_NEWER")
    versions = {"prometheus": [f"{newer}/prometheus"] if newer else program("prometheus")}
    with studio(run, versions, pace=CALM) as made:
        found = made.addresses | {name: p.url for name, p in made.prometheus.items()}
        (folder / "all").write_text("".join(f"{name} {url}\n" for name, url in found.items()))
        print("running, without history", flush=True)  # noqa: T201
        count = remember(made, program("promtool"), history.reach(asked.graphs()))
        (folder / "url").write_text(made.prometheus["prometheus"].url + "\n")
        print("series, samples of history:", *count, flush=True)  # noqa: T201
        signal.pause()


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
