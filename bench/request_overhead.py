"""What one request costs more with instrumentation: Gnomon beside its peers, in the same run.

Every contender serves the same application in a uvicorn of its own and is loaded in turn, round
after round, by wrk: it is written in C and kept well, so that it takes little of the two cores
that it shares with the server, and asks over kept-alive connections without a pause. What counts
is CPU time (user and system, of all processes of a server) per answered request, and of that the
difference from the bare application in the same round, for a machine that others use as well is
slower in one round than in the next. The median of those is held against a peer's in the same run:
a microsecond of one processor is two of another, and what is a sixth of it stays a sixth.

Afterwards Gnomon's own pages must tell how many requests wrk was answered, and its spans must
have arrived or be counted as dropped.

Run by ``make bench``. Each peer is installed into an environment of its own under .stack/bench,
at the first run. Needs wrk on PATH (Debian: wrk); the exit status is 1 without it, as it is for a
figure over its budget.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Column, Table
from scrape_cost import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parent / ".stack" / "bench"
CONNECTIONS = 8
MEMORY_MIB = 16.0  # over bare, with everything on


@dataclass(frozen=True)
class Contender:
    """One way to serve the application.

    app: the function of overhead_apps. packages: what it needs, None for what is installed here.
    ratio: share of the requests that is traced, None for no traces. peer: the name of whom it is
    held against. most: what it may add to the bare application with as many workers, as a share of
    what that peer adds.
    """

    name: str
    app: str
    packages: tuple[str, ...] | None = None
    ratio: float | None = None
    workers: int = 1
    peer: str = ""
    most: float = 0.0

    @property
    def base(self) -> str:
        """Return the name of the contender that this one is compared with."""
        return "bare" if self.workers == 1 else f"bare, {self.workers} workers"


OTEL = ("opentelemetry-instrumentation-fastapi", "opentelemetry-exporter-otlp-proto-http")
CONTENDERS = (
    Contender("bare", "bare"),
    Contender("bare, 2 workers", "bare", workers=2),
    Contender("instrumentator", "instrumentator", ("prometheus-fastapi-instrumentator",)),
    Contender("starlette_exporter", "starlette_exporter", ("starlette_exporter",)),
    Contender("opentelemetry 10 %", "opentelemetry", OTEL, ratio=0.1),
    Contender("opentelemetry 100 %", "opentelemetry", OTEL, ratio=1),
    # Where the peers cost 53, 123 and 212 µs, that is 12, 20, 30 and 90.
    Contender("gnomon, metrics only", "gnomon", peer="instrumentator", most=0.23),
    Contender("gnomon, metrics, 2 workers", "gnomon", workers=2, peer="instrumentator", most=0.38),
    Contender("gnomon 10 %", "gnomon", ratio=0.1, peer="opentelemetry 10 %", most=0.25),
    Contender("gnomon 100 %", "gnomon", ratio=1, peer="opentelemetry 100 %", most=0.42),
)


@dataclass
class Server:
    """A contender that runs, and what was measured of it."""

    contender: Contender
    port: int
    process: psutil.Popen
    answered: int = 0
    cost: list[float] = field(default_factory=list)

    def cpu(self) -> float:
        """Return the CPU seconds of the server and of the workers that it has."""
        seconds = 0.0
        for process in (self.process, *self.process.children(recursive=True)):
            times = process.cpu_times()
            seconds += times.user + times.system
        return seconds

    def resident(self) -> float:
        """Return the resident memory of all its processes, in MiB."""
        processes = (self.process, *self.process.children(recursive=True))
        return float(sum(process.memory_info().rss for process in processes)) / 2**20


class Backend(ThreadingHTTPServer):
    """Takes spans by OTLP over HTTP, and counts them by service."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taking)
        self.taken: Counter[str] = Counter()
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Taking(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Take one batch."""
        from opentelemetry.proto.collector.trace.v1 import (  # noqa: PLC0415  # slow to import
            trace_service_pb2,
        )

        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        server = self.server
        assert isinstance(server, Backend)
        for spans in trace_service_pb2.ExportTraceServiceRequest.FromString(body).resource_spans:
            name = {pair.key: pair.value.string_value for pair in spans.resource.attributes}
            server.taken[name.get("service.name", "")] += sum(
                len(scope.spans) for scope in spans.scope_spans
            )
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def interpreter(contender: Contender) -> str:
    """Return the Python that has what a contender needs, after installing it if need be."""
    if contender.packages is None:
        return sys.executable
    environment = ENVIRONMENTS / contender.app
    python = str(environment / "bin" / "python")
    if not (environment / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        constraints = HERE.parent / "constraints.txt"
        # The same web framework for all; a peer itself comes as it is published.
        words = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        words += ["-c", str(constraints), "fastapi", "uvicorn[standard]", *contender.packages]
        subprocess.run(words, check=True)
        (environment / "ready").touch()
    return python


@contextlib.contextmanager
def running(contender: Contender, backend: Backend) -> Iterator[Server]:
    """Serve the application as one contender."""
    port = free_port()
    told = {
        "OTEL_SERVICE_NAME": contender.name,
        "OTEL_TRACES_EXPORTER": "none" if contender.ratio is None else "otlp",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": str(contender.ratio or 0),
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{backend.server_port}",
    }
    words = [interpreter(contender), "-m", "uvicorn", "--factory", f"overhead_apps:{contender.app}"]
    words += ["--port", str(port), "--log-level", "error", "--no-access-log"]
    words += ["--workers", str(contender.workers)] if contender.workers > 1 else []
    process = psutil.Popen(words, cwd=HERE, env={**os.environ, **told})
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/orders/1").raise_for_status()
                break
            except httpx.TransportError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{contender.name} did not start") from None
                time.sleep(0.1)
        yield Server(contender, port, process, answered=1)
    finally:
        for child in process.children(recursive=True):
            child.terminate()
        process.terminate()
        process.wait(30)


def load(server: Server, seconds: int) -> int:
    """Ask as fast as it answers, for so many seconds; return how often it has answered."""
    address = f"http://127.0.0.1:{server.port}/orders/42?currency=USD"
    words = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", address]
    told = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in told or "Socket errors" in told:
        raise SystemExit(f"{server.contender.name}: {told}")
    line = next(line for line in told.splitlines() if " requests in " in line)
    answered = int(line.split()[0])
    server.answered += answered
    return answered


def untrue(server: Server, taken: int, breaks: int) -> list[str]:
    """Return what a page of Gnomon's tells that is not what happened.

    taken: spans that have arrived. breaks: how often wrk has stopped, with requests under way.
    """
    page = httpx.get(f"http://127.0.0.1:{server.port}/metrics").text
    samples = [
        sample for family in text_string_to_metric_families(page) for sample in family.samples
    ]

    def total(name: str, **labels: str) -> float:
        return sum(
            s.value for s in samples if s.name == name and labels.items() <= s.labels.items()
        )

    wrong = []
    counted = total("http_server_request_duration_seconds_count", http_route="/orders/{number}")
    under_way = CONNECTIONS * breaks
    if not server.answered <= counted <= server.answered + under_way:
        wrong.append(f"{counted:.0f} requests counted of {server.answered}")
    if ratio := server.contender.ratio:
        dropped = total("gnomon_spans_dropped_total")
        spans = taken + dropped
        if not 0.9 * ratio * counted - under_way <= spans <= 1.1 * ratio * counted:
            wrong.append(f"{taken} spans arrived, {dropped:.0f} dropped, of {ratio * counted:.0f}")
    return [f"{server.contender.name}: {what}" for what in wrong]


def over(server: Server, servers: dict[str, Server]) -> float:
    """Return what a contender adds to the bare application, in microseconds of CPU per request."""
    pairs = zip(server.cost, servers[server.contender.base].cost, strict=True)
    return statistics.median(own - bare for own, bare in pairs)


def measure(contenders: list[Contender], rounds: int, seconds: int) -> tuple[Table, list[str]]:
    """Measure all side by side; return the table, and what is wrong or over its budget.

    The table's CPU time is that of one request.
    """
    with contextlib.ExitStack() as stack:
        backend = Backend()
        stack.callback(backend.shutdown)
        servers = {
            contender.name: stack.enter_context(running(contender, backend))
            for contender in contenders
        }
        for server in servers.values():
            load(server, 1)  # warm
        for _ in range(rounds):
            for server in servers.values():
                before = server.cpu()
                answered = load(server, seconds)
                server.cost.append((server.cpu() - before) / answered * 1e6)
        time.sleep(6)  # spans wait for five seconds at most
        wrong = []
        columns = ("CPU µs", "over bare", "x bare", "of peer's", "most", "RSS MiB", "spans")
        table = Table(Column(no_wrap=True), *columns)
        added = {name: over(server, servers) for name, server in servers.items()}
        for name, server in servers.items():
            base = servers[server.contender.base]
            cost = statistics.median(server.cost)
            more = server.resident() - base.resident()
            peer, most = server.contender.peer, server.contender.most
            share = added[name] / added[peer] if peer in added else None
            table.add_row(
                name,
                f"{cost:.1f}",
                f"{added[name]:+.1f}" if server is not base else "",
                f"{cost / statistics.median(base.cost):.2f}" if server is not base else "",
                f"{share:.2f}" if share is not None else "",
                f"{most:.2f}" if peer else "",
                f"{server.resident():.0f} ({more:+.0f})",
                str(backend.taken[name] or ""),
            )
            if not peer:
                continue
            if share is not None and share > most:
                wrong.append(f"over budget: {name}: {share:.2f} of what {peer} adds > {most:.2f}")
            if server.contender.ratio is not None and more > MEMORY_MIB:
                wrong.append(f"over budget: {name}: {more:.1f} MiB > {MEMORY_MIB:.0f}")
            wrong += untrue(server, backend.taken[name], rounds + 1)
        return table, wrong


def main() -> int:
    """Measure, print a table, and return 1 when a figure is over its budget or not true."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of load, per contender and round")
    parser.add_argument("--only", default="", help="part of the names to measure, beside bare")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        print("no wrk on PATH (Debian: wrk), so no load")
        return 1
    chosen = [c for c in CONTENDERS if c.app == "bare" or options.only in c.name]
    table, wrong = measure(chosen, options.rounds, options.seconds)
    console = Console(width=max(Console().width, 110))
    console.print(table)
    for line in wrong:
        console.print(line, style="red")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
