"""A console over a Prometheus that scrapes numbers which are known beforehand."""

import http.server
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import servers
from rulebook import ROOT

#: By source, its kind, target, its kind: calls a second, failing calls a second, p95.
EDGES = {
    ("clients", "clients", "shop", "service"): (8, 0.08, 0.12),
    ("shop", "service", "bank.example:443", "outside API"): (2, 1, 0.9),
    ("shop", "service", "postgresql shop", "database"): (20, 0, 0.004),
    ("shop", "service", "shop/prices", "cache"): (40, None, None),
    ("shop", "service", "shop/mails", "queue"): (1, None, 3),
    ("shop/mails", "queue", "shop/workers", "workers"): (1, 0.1, 0.5),
    ("shop", "service", "shop", "service"): (0.5, 0.2, 0.01),
    ("shop", "service", "<b>evil</b>{x}", "outside API"): (0.1, 0, None),
}

#: By objective: its promise, what is left of its budget, seconds until it is gone.
OBJECTIVES = {
    "requests": (0.99, 0.6, 3 * 86400),
    "logins": (0.999, 0.9, None),
    "mails": (0.95, -0.5, 0),
    "young": (0.9, None, None),
}
_ERRORS = {"5m": 0.02, "1h": 0.015, "6h": 0.012}

_OTHERS = """\
gnomon_scrape_collector_success{collector="cpu",instance="one"} 1
gnomon_scrape_collector_success{collector="redis",instance="one"} 0
gnomon_build_info{service="shop",service_version="1.1"} 1
"""


def _edges():
    lines = []
    for (source, source_kind, target, target_kind), values in EDGES.items():
        labels = (
            f'service="shop",source="{source}",source_kind="{source_kind}",'
            f'target="{target}",target_kind="{target_kind}"'
        )
        names = ("edge:calls:rate5m", "edge:errors:rate5m", "edge:latency_seconds:p95_5m")
        lines += [
            f"{name}{{{labels}}} {value}"
            for name, value in zip(names, values, strict=True)
            if value is not None
        ]
    return "\n".join(lines) + "\n"


def _objectives():
    lines = ['target_info{service="shop",service_version="1.1"} 1']
    for name, (promise, left, gone) in OBJECTIVES.items():
        labels = f'service="shop",sloth_id="shop-{name}",sloth_service="shop",sloth_slo="{name}"'
        values = {"objective:ratio": promise, "error_budget:ratio": 1 - promise}
        if left is not None:
            values |= {
                "period_error_budget_remaining:ratio": left,
                "period_burn_rate:ratio": 1 - left,
            }
            values |= {f"sli_error:ratio_rate{over}": each for over, each in _ERRORS.items()}
        if gone is not None:
            values["error_budget_exhaustion:seconds"] = gone
        lines += [f"slo:{metric}{{{labels}}} {value}" for metric, value in values.items()]
    lines.append(
        'ALERTS{alertname="SLOFastBurn",alertstate="firing",severity="critical",service="shop",'
        'sloth_id="shop-requests",sloth_service="shop",sloth_slo="requests"} 1'
    )
    return "\n".join(lines) + "\n"


class _Told(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write((_edges() + _objectives() + _OTHERS).encode())

    def log_message(self, *_: object) -> None:
        """Keep the output clean."""


@contextmanager
def known(folder: Path) -> Iterator[tuple[str, str]]:
    """Run both while the block does, without any rule; give the console's and its addresses."""
    told = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Told)
    threading.Thread(target=told.serve_forever, args=(0.05,), daemon=True).start()
    port = {name: servers.free_port() for name in ("prometheus", "console", "nobody")}
    url = {name: f"http://127.0.0.1:{number}" for name, number in port.items()}
    config = folder / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s}\n"
        "scrape_configs:\n"
        "  - job_name: application\n"
        "    honor_labels: true\n"
        f"    static_configs: [{{targets: ['127.0.0.1:{told.server_address[1]}']}}]\n"
    )
    with ExitStack() as running:
        running.callback(told.server_close)
        running.callback(told.shutdown)
        running.enter_context(
            servers.Server(
                [
                    *servers.program("prometheus"),
                    f"--config.file={config}",
                    f"--storage.tsdb.path={folder}/data",
                    f"--web.listen-address=127.0.0.1:{port['prometheus']}",
                ],
                ready=f"{url['prometheus']}/-/ready",
                log=folder / "prometheus.log",
            )
        )
        running.enter_context(
            servers.Server(
                [sys.executable, "-m", "gnomon_console"],
                ready=f"{url['console']}/healthz",
                log=folder / "console.log",
                env={
                    "GNOMON_ROOT": str(ROOT),
                    "GNOMON_CONSOLE_DATA": str(folder / "console"),
                    "GNOMON_CONSOLE_PORT": str(port["console"]),
                    "GNOMON_PROMETHEUS_URL": url["prometheus"],
                    "GNOMON_ALERTMANAGER_URL": url["nobody"],
                    "GNOMON_JAEGER_URL": "",
                },
            )
        )
        yield url["console"], url["prometheus"]
