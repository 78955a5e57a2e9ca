"""Public use of queues, jobs, batches, limiters and pages, for mypy --strict; nothing is run."""

import asyncio
import multiprocessing
import queue
from typing import assert_type

from fastapi import FastAPI, Request
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from prometheus_client import CollectorRegistry

import gnomon

words: asyncio.Queue[str] = gnomon.watch_queue(asyncio.Queue(100), "words")
numbers = gnomon.watch_queue(queue.PriorityQueue[tuple[int, str]](), "numbers")
simple = gnomon.watch_queue(queue.SimpleQueue[bytes](), "simple", priority=len)
between: "multiprocessing.Queue[int]" = gnomon.watch_queue(multiprocessing.Queue(), "between")


async def worker() -> None:
    """Take from asyncio's queue."""
    async with gnomon.take(words, timeout=5) as taken:
        assert_type(taken, gnomon.Taken[str])
        assert_type(taken.item, str)
        taken.retried()
        await words.put(taken.item)


def thread() -> float | None:
    """Take from the others."""
    with gnomon.take(numbers, worker="w1") as one:
        assert_type(one.item, tuple[int, str])
        one.failed()
    with gnomon.take(simple) as two:
        assert_type(two.item, bytes)
    with gnomon.take(between) as three:
        assert_type(three.item, int)
        three.gave_up()
        return three.waited


@gnomon.job("nightly_report", retries=2, pause=0.5)
def report(day: str, *, full: bool = False) -> int:
    """Be a job."""
    gnomon.current_run().progress(0.5)
    return len(day) if full else 0


@gnomon.job("refresh")
async def refresh(symbol: str) -> float:
    """Be an asynchronous job."""
    async with gnomon.job("inner", parent=gnomon.trace_headers()) as run:
        run.retried()
    return float(len(symbol))


async def number(value: int) -> int:
    """Be an item of a batch."""
    return value


async def batch() -> int:
    """Run batches."""
    assert_type(report("monday", full=True), int)
    assert_type(await refresh("X"), float)
    outcomes = await gnomon.gather([number(1), number(2)], limit=5, timeout=30)
    await gnomon.gather((lambda: number(3) for _ in range(3)), item_timeout=1, name="made")
    return sum(item.result() for item in outcomes if item.outcome == "success")


limiter = gnomon.watch_limiter(FixedWindowRateLimiter(MemoryStorage()), "api")
assert_type(limiter, FixedWindowRateLimiter)

app = FastAPI()
gnomon.web_vitals(app, prefix="/own", sample=0.5, rate=10, client_rate=0.5)


@app.get("/")
async def home(request: Request) -> None:
    """Refuse."""
    gnomon.refused("own", "burst", request=request)


with gnomon.expose(
    service="worker",
    service_version="1",
    address="127.0.0.1",
    port=0,
    metrics_path="/metrics",
    metrics_token="secret",
    registry=CollectorRegistry(),
    max_series=100,
    tracing="off",
    sample_ratio=0.5,
) as exposed:
    assert_type(exposed.port, int)
    assert_type(exposed.url, str)
