"""A console over a Prometheus that scrapes numbers which are known beforehand."""

import http.server
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import servers
from console.conftest import Stack
from rulebook import ROOT


class _Told(http.server.BaseHTTPRequestHandler):
    text = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(self.text)

    def log_message(self, *_: object) -> None:
        """Keep the output clean."""


@contextmanager
def known(folder: Path, text: str) -> Iterator[Stack]:
    """Run both while the block does. text: the metrics, as they are exposed; rules there are none.

    It waits for the first scrape.
    """
    handler = type("Told", (_Told,), {"text": text.encode()})
    told = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
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
        made = Stack(url["console"], url["prometheus"], "", alertmanager=None)
        servers.until(lambda: made.value("sum(up)") == 1)
        yield made
