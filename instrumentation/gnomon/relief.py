"""``gnomon.memory_guard``: when memory runs short, collect garbage and empty caches."""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import threading
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

from prometheus_client.core import GaugeMetricFamily

from gnomon import guard, subjects
from gnomon.caches.decorator import is_ours
from gnomon.families import Counters
from gnomon.pressure import used_ratio
from gnomon.resident import resident

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client import Metric

log = logging.getLogger("gnomon")

#: Seconds that the end of a guard is waited for: a collection of garbage may be under way.
PATIENCE = 10.0

GC, CACHES = "gc", "caches"

_runs = Counters(
    "gnomon_memory_guard_runs",
    "Times that the memory guard collected garbage (gc) or emptied its caches (caches).",
    ("action",),
    2,
)
_freed = Counters(
    "gnomon_memory_guard_freed_bytes",
    "Resident memory of this process that was gone after the memory guard had acted.",
    ("action",),
    2,
)
subjects.add(_runs, _freed)


def memory_guard(
    limit: float = 0.8,
    *,
    caches: Iterable[Any] = (),
    interval: float = 5.0,
    margin: float = 0.05,
    again: float = 60.0,
) -> MemoryGuard:
    """Begin to watch over memory, in a thread; return what ends it, by ``stop()`` or ``with``.

    When the share in use passes the limit, garbage is collected, and if that was not enough the
    caches are emptied. Then nothing more is done until the share has been below the limit by a
    margin, or for so long that another try is due. Collecting garbage stops the whole process for
    as long as it takes (``gnomon_gc_pause_seconds``).

    limit: share of the memory, 0 to 1, of the container, or of the host where the container has
    no limit below that. Page cache that is easily dropped does not count as used.
    caches: what to empty: functions of ``gnomon.cached`` (their second tier keeps what it has),
    of functools, caches with ``clear``, or functions to be called.
    interval: seconds between two looks. margin: share. again: seconds.

    A process has one guard: a second call ends the first one's. After a fork the child has one,
    too. Nothing happens where there is no /proc to read.

    Raises ValueError for numbers that cannot be right, TypeError for what is no cache.
    """
    if not 0 < limit <= 1:
        raise ValueError(f"limit: {limit!r} is no share of the memory: above 0, to 1")
    if not 0 <= margin < limit:
        raise ValueError(f"margin: {margin!r} is not between 0 and the limit")
    if not interval > 0 or not again > 0:
        raise ValueError("interval and again are seconds above 0")
    clear = [_clearing(cache) for cache in caches]
    begun = MemoryGuard(limit, clear, interval=interval, margin=margin, again=again)
    global _running  # one for the process
    with _lock:
        before, _running = _running, begun
    if before is not None:
        before.stop()
    begun.start()
    return begun


def _clearing(cache: Any) -> Callable[[], object]:
    """Return what empties a cache. Raises TypeError if nothing does."""
    if is_ours(cache):
        return partial(cache.cache_clear, l2=False)
    is_class = isinstance(cache, type)  # whose methods want an object
    for name in ("cache_clear", "clear"):
        if not is_class and callable(found := getattr(cache, name, None)):
            clear: Callable[[], object] = found
            return clear
    if not callable(cache) or is_class:
        raise TypeError(
            f"caches: {cache!r} has neither cache_clear nor clear, and is no function to call"
        )
    ours: Callable[[], object] = cache
    return ours


class MemoryGuard:
    """A guard that watches; see ``memory_guard``."""

    def __init__(
        self,
        limit: float,
        clear: list[Callable[[], object]],
        *,
        interval: float = 5.0,
        margin: float = 0.05,
        again: float = 60.0,
        read: Callable[[], float | None] = used_ratio,
    ) -> None:
        self.limit = limit
        #: The share in use at the last look, None if nothing told.
        self.used: float | None = None
        self._clear = clear
        self._interval = interval
        self._margin = margin
        self._again = again
        self._read = read
        self._is_armed = True
        self._due = 0.0
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to look."""
        for action in (GC, CACHES):  # there from the start, so that the first run is an increase
            _runs.child(action)
            _freed.child(action)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="gnomon memory guard", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for that, ten seconds at most. May be called again."""
        global _running  # noqa: PLW0603
        self._stopped.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(PATIENCE)
        with _lock:
            if _running is self:
                _running = None

    def _watch(self) -> None:
        while True:
            try:
                self.look()
            except Exception:
                guard.failed("memory guard")
            if self._stopped.wait(self._interval):
                return

    def look(self) -> None:
        """Look once, and act if it is time."""
        self.used = used = self._read()
        if used is None:
            return
        if used < self.limit - self._margin:
            self._is_armed = True
        elif used >= self.limit and (self._is_armed or monotonic() >= self._due):
            self._is_armed = False
            self._act(GC, used)
            self.used = used = self._read()
            if used is not None and used >= self.limit and self._clear:
                self._act(CACHES, used)
                self.used = self._read()
            self._due = monotonic() + self._again

    def _act(self, action: str, used: float) -> None:
        before = resident()
        if action == CACHES:
            for clear in self._clear:
                try:
                    clear()
                except Exception:
                    guard.failed("memory guard's caches")
        gc.collect()
        _trim()
        after = resident()
        _runs.child(action).inc()
        freed = 0 if before is None or after is None else max(0, before - after)
        _freed.child(action).inc(freed)
        log.warning(
            "memory guard: %.0f %% of memory in use, %s freed %.1f MiB",
            100 * used,
            "garbage collection" if action == GC else "emptying caches",
            freed / (1 << 20),
        )


def _trim() -> None:
    """Let glibc give back what was freed; other C libraries have no such call."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        return


_lock = threading.Lock()
_running: MemoryGuard | None = None


def _gather() -> Iterator[Metric]:
    running = _running
    if running is None:
        return
    yield GaugeMetricFamily(
        "gnomon_memory_guard_limit_ratio",
        "Share of memory from which on the memory guard acts.",
        running.limit,
    )
    if running.used is not None:
        yield GaugeMetricFamily(
            "gnomon_memory_guard_used_ratio",
            "Share of the container's or host's memory in use, as the memory guard saw it last.",
            running.used,
        )


subjects.look("memory guard", _gather)


def _in_child() -> None:
    global _lock  # noqa: PLW0603  # another thread of the parent may have held it
    _lock = threading.Lock()
    if _running is not None:
        try:
            _running.start()
        except Exception:
            guard.failed("memory guard")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
