"""The exporter as a process of its own: scraped as Prometheus does it, watched from outside."""

import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx

from servers import Server, free_port

MARGIN = 5


class Use(NamedTuple):
    """What a process takes: threads, file descriptors, resident MiB."""

    threads: int
    descriptors: int
    resident: float


class RunningExporter:
    """A running exporter and the last page that it gave.

    timeout: seconds that a scrape may take, as Prometheus would tell; tested with a margin.
    """

    def __init__(self, server: Server, client: httpx.Client, timeout: float) -> None:
        self.page = ""
        self._server = server
        self._client = client
        self._timeout = timeout

    @property
    def log(self) -> str:
        """Everything that the exporter has printed."""
        return self._server.output()

    def get(self, path: str) -> str:
        """Return a page, whatever its status."""
        return self._client.get(path).text

    def scrape(self) -> dict[str, float]:
        """Return the values by series as they stand there, once they are in inside the deadline."""
        started = time.monotonic()
        self.page = self._client.get("/metrics").raise_for_status().text
        assert time.monotonic() - started < MARGIN * self._timeout
        lines = [line.rpartition(" ") for line in self.page.split("\n") if line and line[0] != "#"]
        return {series: float(value) for series, _, value in lines}

    def until(
        self, condition: Callable[[Mapping[str, float]], bool], patience_s: float = 60
    ) -> dict[str, float]:
        """Scrape until the condition holds; return that page's values."""
        end = time.monotonic() + patience_s
        while not condition(values := self.scrape()):
            assert time.monotonic() < end, f"{self.page[-3000:]}\n{self.log[-2000:]}"
            time.sleep(0.1)
        return values

    def use(self) -> Use:
        """Return what the process takes now."""
        process = Path(f"/proc/{self._server.process.pid}")
        status = (process / "status").read_text()
        threads, resident = (
            int(re.search(rf"{name}:\s+(\d+)", status)[1])  # type: ignore[index]
            for name in ("Threads", "VmRSS")
        )
        return Use(threads, len(list((process / "fd").iterdir())), resident / 1024)


@contextmanager
def running_exporter(
    directory: Path,
    config: str,
    *words: str,
    timeout: float = 1.0,
    env: dict[str, str] | None = None,
) -> Iterator[RunningExporter]:
    """Run the exporter by a configuration, or the Python program that ``words`` are."""
    path = directory / "exporter.yml"
    path.write_text(config)
    url = f"http://127.0.0.1:{free_port()}"
    command = [
        *(sys.executable, *(words or ("-m", "gnomon_exporter"))),
        f"--config.file={path}",
        f"--web.listen-address={url.removeprefix('http://')}",
        "--log.level=debug",
    ]
    headers = {"X-Prometheus-Scrape-Timeout-Seconds": str(timeout)}
    with (
        Server(command, ready=f"{url}/-/ready", log=directory / "exporter.log", env=env) as server,
        httpx.Client(base_url=url, headers=headers, timeout=2 * MARGIN * timeout) as client,
    ):
        yield RunningExporter(server, client, timeout)
