"""What a scrape costs: gnomon-exporter beside node_exporter, in the same run.

Both are started afresh in every round and scraped over one kept-alive connection, the way
Prometheus does it. The figures are CPU time on the scheduler's clock (all threads, user and
system), for wall-clock times on a busy machine say little; what counts is the ratio.

Run by ``make bench``. Takes node_exporter from PATH or $NODE_EXPORTER; without one there is no
ratio, and the exit status is 1, as it is for a figure over its budget.
"""

import argparse
import ctypes
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from rich.console import Console
from rich.table import Table

CPU_RATIO = 0.4  # of node_exporter's, per scrape
RESIDENT_MIB = 30.0
IDLE_PERCENT = 0.1
IDLE = 3.0  # seconds without a scrape


@dataclass(frozen=True)
class Figures:
    """One exporter in one round, or the best of its rounds."""

    samples: float
    families: float
    cpu_ms: float
    latency_ms: float
    idle_percent: float
    resident_mib: float


def _on_cpu(pid: int) -> float:
    """Return the CPU seconds of a process, its ended threads included, to the nanosecond."""
    clock = ctypes.c_int()
    if error := ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock)):
        raise OSError(error, os.strerror(error))
    return time.clock_gettime(clock.value)


def free_port() -> int:
    """Return a TCP port of loopback that nobody listens on at this moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def measure(
    words: Sequence[str], port: int, scrapes: int, env: Mapping[str, str] | None = None
) -> Figures:
    """Start an exporter by its command line, scrape it on a port of loopback, and end it."""
    address = f"http://127.0.0.1:{port}/metrics"
    server = subprocess.Popen(
        words,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=None if env is None else {**os.environ, **env},
    )
    try:
        with httpx.Client(timeout=20) as client:
            _await(client, address, server)
            for _ in range(5):  # warm
                client.get(address)
            latencies = []
            before = _on_cpu(server.pid)
            for _ in range(scrapes):
                start = time.perf_counter()
                page = client.get(address).text
                latencies.append((time.perf_counter() - start) * 1e3)
                time.sleep(0.02)
            cpu = (_on_cpu(server.pid) - before) / scrapes * 1e3
        before = _on_cpu(server.pid)
        time.sleep(IDLE)
        idle = (_on_cpu(server.pid) - before) / IDLE * 100
        lines = [line for line in page.splitlines() if line]
        return Figures(
            samples=sum(not line.startswith("#") for line in lines),
            families=sum(line.startswith("# TYPE ") for line in lines),
            cpu_ms=cpu,
            latency_ms=statistics.median(latencies),
            idle_percent=idle,
            resident_mib=psutil.Process(server.pid).memory_info().rss / 2**20,
        )
    finally:
        server.kill()
        server.wait()


def _await(client: httpx.Client, address: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(150):
        if server.poll() is not None:
            raise SystemExit(f"{server.args!r} ended with status {server.returncode}")
        try:
            client.get(address)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit(f"{address} does not answer")


def least(rounds: Sequence[Figures]) -> Figures:
    """Return the least of each figure: other work on the machine can only add to it."""
    return Figures(
        *(
            min(getattr(figures, name) for figures in rounds)
            for name in Figures.__dataclass_fields__
        )
    )


def _over_budget(ours: Figures, theirs: Figures | None) -> list[str]:
    over = []
    if theirs is None:
        over.append("no node_exporter on PATH (Debian: prometheus-node-exporter), so no ratio")
    elif ours.cpu_ms > CPU_RATIO * theirs.cpu_ms:
        over.append(f"CPU per scrape {ours.cpu_ms / theirs.cpu_ms:.2f} of theirs > {CPU_RATIO}")
    if ours.resident_mib > RESIDENT_MIB:
        over.append(f"resident {ours.resident_mib:.1f} MiB > {RESIDENT_MIB:.0f}")
    if ours.idle_percent > IDLE_PERCENT:
        over.append(f"idle {ours.idle_percent:.2f} % CPU > {IDLE_PERCENT}")
    return over


def main() -> int:
    """Measure, print a table, and return 1 when a figure is over its budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scrapes", type=int, default=100)
    options = parser.parse_args()
    beside = str(Path(sys.executable).with_name("gnomon-exporter"))
    programs = {"gnomon-exporter": beside}
    peer = os.environ.get("NODE_EXPORTER") or next(
        filter(None, map(shutil.which, ("prometheus-node-exporter", "node_exporter"))), None
    )
    if peer:
        programs["node_exporter"] = peer
    rounds: dict[str, list[Figures]] = {name: [] for name in programs}
    for _ in range(options.rounds):
        for name, program in programs.items():
            port = free_port()
            words = [program, f"--web.listen-address=127.0.0.1:{port}"]
            rounds[name].append(measure(words, port, options.scrapes))
    result = {name: least(figures) for name, figures in rounds.items()}
    table = Table("", "samples", "families", "CPU ms/scrape", "p50 ms", "idle CPU %", "RSS MiB")
    for name, figures in result.items():
        table.add_row(
            name,
            f"{figures.samples:.0f}",
            f"{figures.families:.0f}",
            f"{figures.cpu_ms:.2f}",
            f"{figures.latency_ms:.1f}",
            f"{figures.idle_percent:.2f}",
            f"{figures.resident_mib:.1f}",
        )
    console = Console()
    console.print(table)
    ours, theirs = result["gnomon-exporter"], result.get("node_exporter")
    if theirs is not None:
        console.print(f"CPU per scrape: {ours.cpu_ms / theirs.cpu_ms:.2f} of node_exporter's")
    over = _over_budget(ours, theirs)
    for line in over:
        console.print(f"over budget: {line}", style="red")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
