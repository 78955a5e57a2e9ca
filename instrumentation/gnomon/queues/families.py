"""What is measured of queues, and the page of what is true of them just now."""

from __future__ import annotations

import os
import threading
from time import monotonic
from typing import TYPE_CHECKING, Protocol
from weakref import WeakSet

from prometheus_client import Metric

from gnomon import subjects
from gnomon.families import Counters, Histograms

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gnomon.queues.work import Work

#: Most combinations of labels of one family.
CAP = 2000

#: Seconds, from the turn of an event loop to the night that a backlog takes.
SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200)

submitted = Counters(
    "gnomon_queue_submitted",
    "Items that entered the queue; one that is put back enters again.",
    ("queue", "priority"),
    CAP,
)
completed = Counters(
    "gnomon_queue_completed",
    "Items that were worked off.",
    ("queue", "worker"),
    CAP,
)
failed = Counters(
    "gnomon_queue_failed",
    "Items whose work failed and that were not put back.",
    ("queue", "worker"),
    CAP,
)
retried = Counters(
    "gnomon_queue_retried",
    "Items whose work failed and that were put back to be tried again.",
    ("queue", "worker"),
    CAP,
)
dead = Counters(
    "gnomon_queue_dead", "Items that were given up after their last try.", ("queue",), CAP
)
wait = Histograms(
    "gnomon_queue_wait_seconds",
    "Time from an item's entering the queue to its leaving it.",
    ("queue", "priority"),
    CAP,
    SECONDS,
)
run = Histograms(
    "gnomon_queue_run_seconds",
    "Time that was worked on an item.",
    ("queue", "worker"),
    CAP,
    SECONDS,
)


class Watched(Protocol):
    """A queue that is watched."""

    name: str

    @property
    def work(self) -> Work:
        """Return who works on its items."""

    def depths(self) -> Mapping[str, int]:
        """Return how many items are in it, by priority; nothing if that cannot be known."""

    def capacity(self) -> int | None:
        """Return how many items it takes, None without a limit."""

    def entered(self) -> float | None:
        """Return when its oldest item entered it, on the monotonic clock; None without one."""

    def in_flight(self) -> int | None:
        """Return how many items are being worked on, None if nobody tells."""

    def workers(self) -> int | None:
        """Return how many wait for an item or work on one, None if nobody tells."""


_watched: WeakSet[Watched] = WeakSet()
_lock = threading.Lock()


def show(queue: Watched) -> None:
    """Show a queue for as long as it lives."""
    with _lock:
        _watched.add(queue)


def gather() -> Iterator[Metric]:
    """Yield what is true now. Queues of one name are added up, the oldest item is that of all."""
    with _lock:
        watched = list(_watched)
    now = monotonic()
    depth = _Sums("gnomon_queue_depth", "Items in the queue.", ("queue", "priority"))
    capacity = _Sums("gnomon_queue_capacity", "Items that the queue takes.", ("queue",))
    in_flight = _Sums("gnomon_queue_in_flight", "Items that are being worked on.", ("queue",))
    workers = _Sums(
        "gnomon_queue_workers", "Workers that wait for an item or work on one.", ("queue",)
    )
    ages: dict[str, float] = {}
    for queue in watched:
        for label, count in queue.depths().items():
            depth.add(count, queue.name, label)
        capacity.add(queue.capacity(), queue.name)
        in_flight.add(queue.in_flight(), queue.name)
        workers.add(queue.workers(), queue.name)
        entered = queue.entered()
        if entered is not None:
            ages[queue.name] = max(ages.get(queue.name, 0.0), now - entered)
    age = _Sums(
        "gnomon_queue_oldest_age_seconds",
        "Time since the item entered that has been in the queue longest.",
        ("queue",),
    )
    for name, seconds in ages.items():
        age.add(seconds, name)
    for sums in (depth, capacity, in_flight, workers, age):
        if sums.metric.samples:
            yield sums.metric


class _Sums:
    """A gauge family, each of whose series may be given in parts."""

    def __init__(self, name: str, documentation: str, labels: tuple[str, ...]) -> None:
        self._labels = labels
        self._sums: dict[tuple[str, ...], float] = {}
        self._metric = Metric(name, documentation, "gauge")

    def add(self, value: float | None, *labels: str) -> None:
        if value is not None:
            self._sums[labels] = self._sums.get(labels, 0) + value

    @property
    def metric(self) -> Metric:
        if not self._metric.samples:
            for values, value in self._sums.items():
                labels = dict(zip(self._labels, values, strict=True))
                self._metric.add_sample(self._metric.name, labels, value)
        return self._metric


def _forked() -> None:
    for queue in list(_watched):
        queue.work.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
subjects.add(submitted, completed, failed, retried, dead, wait, run)
subjects.look("queues", gather)
