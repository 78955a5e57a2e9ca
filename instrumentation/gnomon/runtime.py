"""The process from inside: event-loop lag, pauses of the garbage collector, tasks, threads."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from time import perf_counter
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily

from gnomon import guard, late
from gnomon.families import AnyFamily, Distribution, Histograms, collect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

#: Seconds between two looks at the event loop.
INTERVAL = 0.25

#: Seconds. A loop that is 10 ms late is healthy, one that is a second late serves nobody.
LAGS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
PAUSES = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)

_lag = Histograms(
    "gnomon_event_loop_lag_seconds",
    "How much later than asked for the event loop woke a task, every quarter of a second.",
    (),
    1,
    LAGS,
)
_pauses = Histograms(
    "gnomon_gc_pause_seconds",
    "Time that one run of the garbage collector stopped everything else.",
    ("generation",),
    4,
    PAUSES,
)
_loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[None]] = (
    weakref.WeakKeyDictionary()
)
_children: list[Distribution] = []
_began = 0.0


def families() -> tuple[AnyFamily, ...]:
    """Return the families with children."""
    return (_lag, _pauses)


def watch_gc() -> None:
    """Time the garbage collector from now on."""
    if not _children:
        _children.extend(_pauses.child(str(generation)) for generation in range(3))
    if _timed not in gc.callbacks:
        gc.callbacks.append(_timed)


def unwatch_gc() -> None:
    """Time the garbage collector no longer."""
    if _timed in gc.callbacks:
        gc.callbacks.remove(_timed)


def _timed(phase: str, info: dict[str, int]) -> None:
    # It may run while any lock is held, the histogram's own included: it must not take one.
    global _began  # noqa: PLW0603  # one collector runs at a time
    if phase == "start":
        _began = perf_counter()
    elif _began:
        _children[min(info["generation"], 2)].put(perf_counter() - _began)
        _began = 0.0


def watch_loop() -> None:
    """Watch the event loop that runs here until it ends; nothing happens without asyncio's."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return
    if loop not in _loops:
        _loops[loop] = loop.create_task(_look(), name="gnomon event-loop lag")


async def unwatch_loop() -> None:
    """Stop watching the event loop that runs here."""
    try:
        task = _loops.pop(asyncio.get_running_loop(), None)
    except RuntimeError:
        return
    if task is not None:
        task.cancel()


async def _look() -> None:
    child = _lag.child()
    while True:
        asked = perf_counter()
        await asyncio.sleep(INTERVAL)
        child.observe(max(0.0, perf_counter() - asked - INTERVAL))
        late.look()


def gather() -> Iterator[Metric]:
    """Yield what is true now."""
    yield from collect(families())
    yield GaugeMetricFamily(
        "gnomon_threads", "Threads of Python in this process.", threading.active_count()
    )
    tasks = 0
    for loop in list(_loops):
        try:
            tasks += len(asyncio.all_tasks(loop))
        except RuntimeError:  # the set changed too often while it was read
            guard.failed("tasks")
            return
    if _loops:
        yield GaugeMetricFamily(
            "gnomon_event_loop_tasks",
            "Tasks of asyncio that are not done, this one's own too.",
            tasks,
        )
