"""What measuring costs: gnomon.measure beside a thread that samples by psutil.

While work is being measured, the sampler's part of one core, for one piece of work and for a
hundred at once; what beginning and ending one costs; and what driving a request's coroutine step by
step adds to the request. All figures are CPU time, not wall-clock time.

Run by ``make bench``. The exit status is 1 if a figure is over its budget.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Self

import psutil
from rich.console import Console
from rich.table import Table

import gnomon
from gnomon.usage.driving import Driven

SAMPLING_PERCENT = 0.5  # of one core
INTERVAL = 0.5


class PsutilMonitor:
    """Samples as most monitors of one's own do: a thread for each piece of work, and psutil."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._stop = threading.Event()
        self._cpu: list[float] = []
        self._memory: list[int] = []
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._process.cpu_percent()
        self._memory.append(self._process.memory_info().rss)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._cpu.append(self._process.cpu_percent())
        self._memory.append(self._process.memory_info().rss)

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL):
            self._cpu.append(self._process.cpu_percent())
            self._memory.append(self._process.memory_info().rss)


def sampling(kind: str, pieces: int, seconds: float) -> float:
    """Return the percent of one core that a process uses which only waits and is measured."""
    blocks: list[Any] = [
        gnomon.measure("bench", interval=INTERVAL) if kind == "gnomon" else PsutilMonitor()
        for _ in range(pieces)
    ]
    for block in blocks:
        block.__enter__()
    time.sleep(2 * INTERVAL)
    before = time.process_time()
    time.sleep(seconds)
    used = time.process_time() - before
    for block in blocks:
        block.__exit__(None, None, None)
    return used / seconds * 100


def apart(kind: str, pieces: int, seconds: float) -> float:
    """Return the same from a process of its own."""
    words = [sys.executable, __file__, "--sampling", kind, str(pieces), str(seconds)]
    return float(json.loads(subprocess.run(words, check=True, capture_output=True).stdout))


def each(work: Callable[[], Any], times: int) -> float:
    """Return the CPU microseconds of one call, the least of five rounds."""
    rounds = []
    for _ in range(5):
        before = time.process_time()
        for _ in range(times):
            work()
        rounds.append((time.process_time() - before) / times * 1e6)
    return min(rounds)


def blocks() -> dict[str, float]:
    """Return the CPU microseconds of beginning and ending one piece of work."""
    measure = gnomon.measure("bench", interval=3600)

    def with_gnomon() -> None:
        with measure:
            pass

    def with_psutil() -> None:
        with PsutilMonitor():
            pass

    with measure:  # the sampler's thread runs already, as under load
        return {"gnomon": each(with_gnomon, 500), "psutil": each(with_psutil, 200)}


def requests() -> tuple[float, float]:
    """Return the CPU microseconds of an ASGI call with three suspensions, and of one driven."""

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        pass

    def cost(app: Any) -> float:
        async def many(times: int = 3000) -> float:
            before = time.thread_time()
            for _ in range(times):
                await app({"type": "http"}, receive, send)
            return (time.thread_time() - before) / times * 1e6

        return asyncio.run(many())

    rounds = [(cost(app), cost(Driven(app))) for _ in range(8)]  # in turns: noise hits both
    return min(plain for plain, _ in rounds), min(driven for _, driven in rounds)


def main() -> int:
    """Print the figures; return 1 if one is over its budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="time that is sampled")
    parser.add_argument("--sampling", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.sampling:
        kind, pieces, seconds = arguments.sampling
        print(json.dumps(sampling(kind, int(pieces), float(seconds))))
        return 0
    table = Table("what", "gnomon", "psutil", "budget", title="gnomon.measure")
    over = False
    for pieces in (1, 100):
        ours = apart("gnomon", pieces, arguments.seconds)
        theirs = apart("psutil", pieces, arguments.seconds)
        over |= ours > SAMPLING_PERCENT
        table.add_row(
            f"sampling, {pieces} at once, % of a core",
            f"{ours:.3f}",
            f"{theirs:.3f}",
            f"{SAMPLING_PERCENT}",
        )
    both = blocks()
    table.add_row(
        "beginning and end, µs of CPU", f"{both['gnomon']:.0f}", f"{both['psutil']:.0f}", ""
    )
    plain, driven = requests()
    table.add_row("driving a request of 4 steps, µs of CPU", f"{driven - plain:.1f}", "", "")
    Console(highlight=False).print(table)
    return int(over)


if __name__ == "__main__":
    sys.exit(main())
