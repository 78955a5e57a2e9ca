"""Something that burns when a test says so, a real Prometheus that notices, and Alertmanager."""

import asyncio
import http.server
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import servers
from alertmanagers import Alertmanager as Running
from alertmanagers import House
from gnomon_console.alerts.alertmanager import Alertmanager
from gnomon_console.alerts.database import Database, backend
from gnomon_console.alerts.history import History
from gnomon_console.alerts.watch import Watch
from gnomon_console.prometheus import Prometheus
from sinks import Webhooks, webhook_server

#: The waits of the routes that tell people, as short as can be, but for those of the escalation.
QUICK = (
    (r"group_wait: (30s|10s|5m|1m)\n", "group_wait: 1s\n"),
    (r"group_interval: (5m|1m|20m|30m)\n", "group_interval: 1s\n"),
)

_RULES = {
    "groups": [
        {
            "name": "fire",
            "interval": "1s",
            "rules": [
                {
                    "alert": "Burning",
                    "expr": "burning > 0",
                    # A service of its own: who is told of one is told of it alone.
                    "labels": {"severity": "critical", "service": "{{ $labels.house }}"},
                    "annotations": {"summary": "{{ $labels.house }} burns"},
                },
                {
                    "alert": "Watchdog",
                    "expr": "vector(1)",
                    "labels": {"severity": "none"},
                },
            ],
        }
    ]
}


class Town(http.server.ThreadingHTTPServer):
    """Houses that burn, and who is told. after: the seconds before the escalation."""

    daemon_threads = True

    def __init__(self, folder: Path, running: ExitStack, after: str) -> None:
        super().__init__(("127.0.0.1", 0), _Page)
        self.burns: set[str] = set()
        self.hooks: Webhooks = running.enter_context(webhook_server())
        house = House(folder / "house", running)
        self.alertmanager: Running = house.start(
            house.render(
                QUICK,
                webhook_url=self.hooks.url("/first"),
                escalation_url=self.hooks.url("/lead"),
                escalation_after=after,
            )
        )
        self._folder = folder
        self._port = servers.free_port()
        self.prometheus = f"http://127.0.0.1:{self._port}"
        self._running = running
        self._configure()
        self.start()

    def _configure(self) -> None:
        target = {"targets": [f"127.0.0.1:{self.server_port}"]}
        (self._folder / "fire.yml").write_text(json.dumps(_RULES))
        (self._folder / "prometheus.yml").write_text(
            json.dumps(
                {
                    "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                    "rule_files": ["fire.yml"],
                    "scrape_configs": [
                        {"job_name": "houses", "static_configs": [target], "honor_labels": True}
                    ],
                    "alerting": {
                        # As ours do, it says more to Alertmanager than it keeps itself.
                        "alert_relabel_configs": [{"target_label": "host", "replacement": "a"}],
                        "alertmanagers": [
                            {
                                "static_configs": [
                                    {"targets": [self.alertmanager.url.removeprefix("http://")]}
                                ]
                            }
                        ],
                    },
                }
            )
        )

    def start(self) -> None:
        """Start Prometheus; again, it has what it has kept."""
        self.server = self._running.enter_context(
            servers.Server(
                [
                    *servers.program("prometheus"),
                    f"--config.file={self._folder}/prometheus.yml",
                    f"--storage.tsdb.path={self._folder}/data",
                    f"--web.listen-address=127.0.0.1:{self._port}",
                    "--rules.alert.resend-delay=1s",
                ],
                ready=f"{self.prometheus}/-/ready",
                log=self._folder / "prometheus.log",
            )
        )

    def told(self, path: str, house: str) -> list[str]:
        """Return what was said of a house to the first or to the lead, in its order."""
        return [
            alert["status"]
            for alert in self.hooks.alerts(path)
            if alert["labels"].get("house") == house
        ]


class _Page(http.server.BaseHTTPRequestHandler):
    server: Town

    def do_GET(self) -> None:
        text = "".join(f'burning{{house="{each}"}} 1\n' for each in sorted(self.server.burns))
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Keep the tests' output clean."""


@contextmanager
def town(folder: Path, after: str = "8s") -> Iterator[Town]:
    """Run it all."""
    with ExitStack() as running:
        made = Town(folder, running, after)
        threading.Thread(target=made.serve_forever, daemon=True).start()
        running.callback(made.server_close)
        running.callback(made.shutdown)
        yield made


class Watching:
    """A watch over real servers, and what it consists of."""

    def __init__(self, alertmanager: str, prometheus: str, path: Path, address: str = "") -> None:
        self.alertmanager = Alertmanager(alertmanager)
        self.prometheus = Prometheus(prometheus)
        self.history = History(Database(backend(address, path)))
        self.watch = Watch(self.alertmanager, self.prometheus, self.history)

    async def until(self, what: Callable[[], Any]) -> Any:
        """Look until something holds; whoever calls it sets a deadline."""
        while True:
            await self.watch.look()
            await self.watch.written()
            if found := what():
                return found
            await asyncio.sleep(0.2)

    async def close(self) -> None:
        """Let go of everything."""
        await self.watch.stop()
        self.history.close()
        await self.alertmanager.close()
        await self.prometheus.close()


def watching(
    steps: Callable[[Watching], Awaitable[object]],
    alertmanager: str,
    prometheus: str,
    path: Path,
    address: str = "",
    within_s: float = 90,
) -> None:
    """Take some steps with a watch."""

    async def run() -> None:
        made = Watching(alertmanager, prometheus, path, address)
        try:
            await asyncio.wait_for(steps(made), within_s)
        finally:
            await made.close()

    asyncio.run(run())
