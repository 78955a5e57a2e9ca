"""Queues of asyncio and of module queue: watched at the moments at which they take and give."""

from __future__ import annotations

import asyncio
import queue as threads
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import ref

from gnomon import traces
from gnomon.queues import families
from gnomon.queues.orders import AnyOrder, Entry, Fifo, Lifo
from gnomon.queues.work import Work

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gnomon.queues.orders import Order

_FIFO = (asyncio.Queue, threads.Queue)
_LIFO = (asyncio.LifoQueue, threads.LifoQueue)


class Hooked:
    """A queue whose class puts and takes items by ``_put`` and ``_get``, under its own lock.

    Those two are what Python's queues offer to subclasses: whatever way an item takes in or out,
    with or without waiting, it goes through them exactly when it enters or leaves. Instance
    attributes stand in for them, so that type and behaviour stay.
    """

    def __init__(
        self, queue: Any, name: str, priority: Callable[[Any], object] | None = None
    ) -> None:
        self.name = name
        self.work = Work(name, priority)
        # Not the queue itself: the two would keep each other alive.
        self._queue = ref(queue)
        kind = type(queue)
        self._put_item, self._get_item = kind._put, kind._get  # noqa: SLF001  # see above
        self._done = kind.task_done
        self._dropping = False
        self._ever_done = False
        self._order: Order = _order(kind)
        self._levels: dict[str, int] = {}
        for item in _content(queue):
            self._enter(item, exact=False)
        queue._put = self._put  # noqa: SLF001
        queue._get = self._get  # noqa: SLF001
        queue.task_done = self._task_done
        if hasattr(kind, "shutdown"):  # Python 3.13
            queue.shutdown = self._shutdown
        families.show(self)

    def _enter(self, item: Any, *, exact: bool = True) -> Entry:
        try:
            label = self.work.priorities.label(item)
        except Exception as error:
            self.work.fault, label = error, ""
        entry = Entry(monotonic(), label, traces.trace_headers() or None, exact)
        self._order.add(item, entry)
        self._levels[label] = self._levels.get(label, 0) + 1
        return entry

    def _put(self, item: Any, *rest: Any) -> None:
        queue: Any = self._queue()
        before = queue._qsize() if isinstance(queue, threads.Queue) else queue.qsize()  # noqa: SLF001
        self._put_item(queue, item, *rest)
        try:
            after = queue._qsize() if isinstance(queue, threads.Queue) else queue.qsize()  # noqa: SLF001
            if after > before:  # else a subclass did not want it, as it had it already
                self.work.submitted(self._enter(item).label)
        except Exception as error:
            self.work.fault = error

    def _get(self, *rest: Any) -> Any:
        item = self._get_item(self._queue(), *rest)
        try:
            entry = self._order.take(item)
            if entry is not None:
                self._levels[entry.label] -= 1
                if not self._dropping:
                    self.work.left(item, entry, monotonic())
        except Exception as error:
            self.work.fault = error
        return item

    def _task_done(self) -> None:
        """Stand in for ``task_done``, for those who do not use ``take``."""
        self.plainly_done()
        try:
            self._ever_done = True
            self.work.counted(self.work.names.name(), "completed")
        except Exception as error:
            self.work.fault = error

    def plainly_done(self) -> None:
        """Do what the queue's own ``task_done`` does, and count nothing."""
        self._done(self._queue())

    def _shutdown(self, *args: Any, **options: Any) -> None:
        """Stand in for ``shutdown``, which takes out what nobody will get."""
        queue: Any = self._queue()
        self._dropping = True
        try:
            type(queue).shutdown(queue, *args, **options)
        finally:
            self._dropping = False

    def depths(self) -> Mapping[str, int]:
        """See ``Watched``."""
        self.work.told()
        queue = self._queue()
        if queue is None:
            return {}
        return dict(self._levels) if self.work.priorities else {"": len_of(queue)}

    def capacity(self) -> int | None:
        """See ``Watched``."""
        queue = self._queue()
        return queue.maxsize if queue is not None and queue.maxsize > 0 else None

    def entered(self) -> float | None:
        """See ``Watched``."""
        entry = self._order.oldest() if self._queue() is not None else None
        return entry.entered if entry is not None else None

    def in_flight(self) -> int | None:
        """See ``Watched``; without ``take`` those count for which ``task_done`` is still due."""
        taken = self.work.in_flight()
        queue = self._queue()
        if taken is None and self._ever_done and queue is not None:
            due: int | None = getattr(queue, "unfinished_tasks", None)
            if due is None:
                due = getattr(queue, "_unfinished_tasks", None)
            if due is not None:
                return max(0, due - len_of(queue))
        return taken

    def workers(self) -> int | None:
        """See ``Watched``."""
        return self.work.workers() if self._queue() is not None else None


def hook_of(queue: Any) -> Hooked | None:
    """Return what watches a queue, None if nothing does."""
    found = getattr(getattr(queue, "__dict__", {}).get("_put"), "__self__", None)
    return found if isinstance(found, Hooked) else None


def len_of(queue: Any) -> int:
    """Return a queue's length without its lock, which a scrape must not wait for."""
    size: int = queue._qsize() if isinstance(queue, threads.Queue) else queue.qsize()  # noqa: SLF001
    return size


def _order(kind: Any) -> Order:
    ways = kind._put, kind._get  # noqa: SLF001
    if ways in [(known._put, known._get) for known in _FIFO]:  # noqa: SLF001
        return Fifo()
    if ways in [(known._put, known._get) for known in _LIFO]:  # noqa: SLF001
        return Lifo()
    return AnyOrder()


def _content(queue: Any) -> list[Any]:
    """Return what is in a queue already, in its own order."""
    content = getattr(queue, "queue" if isinstance(queue, threads.Queue) else "_queue", None)
    return list(content) if content is not None else []
