"""Who works on the items of one queue, and what becomes of them; the same for every queue."""

from __future__ import annotations

import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

from gnomon import guard, traces
from gnomon.queues import families
from gnomon.queues.labels import Priorities, Workers

if TYPE_CHECKING:
    from collections.abc import Callable

    from gnomon.queues.orders import Entry


_OUTCOMES = {
    "completed": families.completed,
    "failed": families.failed,
    "retried": families.retried,
}


class Work:
    """One watched queue, as its items' lives go.

    name: its label. priority: see ``gnomon.watch_queue``.
    """

    def __init__(self, name: str, priority: Callable[[Any], object] | None) -> None:
        self.name = name
        self.names = Workers()
        self.priorities = Priorities(priority)
        #: A fault of telemetry that happened while the queue's lock was held: to log it there
        #: could wait for that lock, where a log handler puts records into this very queue.
        self.fault: Exception | None = None
        self._tell: Callable[[Any], object] | None = priority
        self._lock = threading.RLock()  # a destructor may take as well
        self._taken = 0
        self._waiting = 0
        self._ever_taken = False
        for family in (families.submitted, families.wait):
            if not self.priorities:
                family.child(name, "")
        self.here = threading.local()

    def submitted(self, label: str) -> None:
        """Count an item that entered."""
        families.submitted.child(self.name, label).inc()

    def left(self, item: Any, entry: Entry, now: float) -> None:
        """Count an item that left; ``taken_here`` finds it in the same thread."""
        if entry.exact:
            ids = traces.sampled(entry.headers) if entry.headers else None
            families.wait.child(self.name, entry.label).observe(max(0.0, now - entry.entered), ids)
        # Its identity only: what was taken may be large, and is not ours to keep.
        self.here.last = id(item), entry

    def taken_here(self, item: Any) -> Entry | None:
        """Return the entry of what this thread has just taken, None if that is not known."""
        last: tuple[int, Entry] | None = self.here.__dict__.pop("last", None)
        return last[1] if last is not None and last[0] == id(item) else None

    def comes(self) -> None:
        """Note a worker that waits for an item."""
        if not self._ever_taken:
            families.dead.child(self.name)  # from here on what becomes of items is told
        with self._lock:
            self._ever_taken = True
            self._waiting += 1

    def goes(self) -> None:
        """Note that a worker waits no longer and has nothing."""
        with self._lock:
            self._waiting -= 1

    def begins(self) -> None:
        """Note that a worker that waited works on an item."""
        with self._lock:
            self._waiting -= 1
            self._taken += 1

    def ends(self, worker: str, began: float, outcome: str) -> None:
        """Note what became of an item: completed, failed, retried, dead, or "" for neither."""
        with self._lock:
            self._taken -= 1
        try:
            families.run.child(self.name, worker).observe(monotonic() - began, traces.exemplar())
            self.counted(worker, outcome)
        except Exception:
            guard.failed("queue")

    def counted(self, worker: str, outcome: str) -> None:
        """Count an item's outcome; all that there are exist together, at 0, from the first on."""
        for word, family in _OUTCOMES.items():
            child = family.child(self.name, worker)
            if outcome == word or (word == "failed" and outcome == "dead"):
                child.inc()
        if outcome == "dead":
            families.dead.child(self.name).inc()

    def forked(self) -> None:
        """Begin anew in a child: whoever works on items does so in the parent."""
        self._lock = threading.RLock()
        self._taken = self._waiting = 0

    def in_flight(self) -> int | None:
        """Return how many items were taken by ``take`` and are not done."""
        return self._taken if self._ever_taken else None

    def workers(self) -> int | None:
        """Return how many are inside of ``take``."""
        return self._taken + self._waiting if self._ever_taken else None

    def told(self) -> None:
        """Report a fault that could not be reported where it happened."""
        fault, self.fault = self.fault, None
        if fault is not None:
            try:
                raise fault  # noqa: TRY301  # what the guard logs is the exception at hand
            except Exception:
                guard.failed("queue")
