"""queue.SimpleQueue: it has no place to watch it from inside, so that another stands around it."""

from __future__ import annotations

import queue as threads
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from gnomon import guard, traces
from gnomon.queues import families
from gnomon.queues.orders import AnyOrder, Entry
from gnomon.queues.work import Work

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")


class WatchedSimpleQueue(threads.SimpleQueue, Generic[T]):  # type: ignore[type-arg]
    """Stands around a SimpleQueue, and is one."""

    def __new__(cls, *_args: Any, **_options: Any) -> WatchedSimpleQueue[T]:
        """Make room; the arguments are the constructor's."""
        return super().__new__(cls)

    def __init__(
        self,
        queue: threads.SimpleQueue[T],
        name: str,
        priority: Callable[[Any], object] | None = None,
    ) -> None:
        super().__init__()
        self.name = name
        self.work = Work(name, priority)
        self._queue = queue
        self._order = AnyOrder()  # what another thread put a moment ago may come before
        self._levels: dict[str, int] = {}
        # Putting may happen inside of putting: in a destructor, in a signal handler.
        self._lock = threading.RLock()
        families.show(self)

    def put(self, item: T, block: bool = True, timeout: float | None = None) -> None:  # noqa: ARG002
        """Put an item; never waits, as in SimpleQueue."""
        try:
            label = self.work.priorities.label(item)
        except Exception:
            guard.failed("queue")
            label = ""
        try:
            entry = Entry(monotonic(), label, traces.trace_headers() or None)
            with self._lock:
                self._order.add(item, entry)
                self._levels[label] = self._levels.get(label, 0) + 1
            self.work.submitted(label)
        except Exception:
            guard.failed("queue")
        self._queue.put(item)

    def put_nowait(self, item: T) -> None:
        """Put an item."""
        self.put(item)

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """Take an item; raises queue.Empty."""
        item = self._queue.get(block, timeout)
        try:
            with self._lock:
                entry = self._order.take(item)
                if entry is not None:
                    self._levels[entry.label] -= 1
            if entry is not None:
                self.work.left(item, entry, monotonic())
        except Exception:
            guard.failed("queue")
        return item

    def get_nowait(self) -> T:
        """Take an item; raises queue.Empty."""
        return self.get(block=False)

    def empty(self) -> bool:
        """Whether there is nothing in it."""
        return self._queue.empty()

    def qsize(self) -> int:
        """Return how many items are in it."""
        return self._queue.qsize()

    def depths(self) -> Mapping[str, int]:
        """See ``Watched``."""
        return dict(self._levels) if self.work.priorities else {"": self._queue.qsize()}

    def capacity(self) -> int | None:
        """See ``Watched``."""
        return None

    def entered(self) -> float | None:
        """See ``Watched``."""
        entry = self._order.oldest()
        return entry.entered if entry is not None else None

    def in_flight(self) -> int | None:
        """See ``Watched``."""
        return self.work.in_flight()

    def workers(self) -> int | None:
        """See ``Watched``."""
        return self.work.workers()
