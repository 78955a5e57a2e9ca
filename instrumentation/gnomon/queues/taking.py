"""Take an item to work on, and say what became of it."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from gnomon import guard
from gnomon.outcomes import outcome_of
from gnomon.queues.hooked import hook_of
from gnomon.queues.processes import WatchedProcessQueue
from gnomon.queues.simple import WatchedSimpleQueue
from gnomon.traces import Continued, Span, sampled

if TYPE_CHECKING:
    from types import TracebackType

    from gnomon.queues.work import Work

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Queue(Protocol[T_co]):
    """What all queues have in common."""

    def get_nowait(self) -> T_co:
        """Take an item without waiting."""


class Taken(Generic[T]):
    """An item that was taken, until its ``with`` block ends.

    item: as it was put. waited: seconds that it was in the queue, None if that is not known.
    """

    __slots__ = ("item", "outcome", "waited")

    def __init__(self, item: T, waited: float | None) -> None:
        self.item = item
        self.waited = waited
        self.outcome = ""

    def failed(self) -> None:
        """Say that the work failed, where no exception leaves the block to say so."""
        self.outcome = "failed"

    def retried(self) -> None:
        """Say that the work failed and that the item was put back, or will be."""
        self.outcome = "retried"

    def gave_up(self) -> None:
        """Say that the work failed for the last time: failed, and counted as dead."""
        self.outcome = "dead"


class take(Generic[T]):  # noqa: N801  # it is called like a function, and read as a verb
    """Take an item from a watched queue, to work on it in a ``with`` block.

    ``async with gnomon.take(queue) as taken:`` for asyncio's queues, ``with gnomon.take(queue) as
    taken:`` for all others; the item is ``taken.item``. The block's end is the item's: its time
    is observed in ``gnomon_queue_run_seconds``, ``task_done()`` is called if the queue has it
    (so do not call it in the block), and the item counts as completed; as failed if an exception
    leaves the block, which goes on; as what ``taken.failed()``, ``taken.retried()`` or
    ``taken.gave_up()`` said, if one was called. Work that was cancelled counts as none of these.
    Meanwhile the item is in flight, and the trace of who put it is current: a span in it, where
    that trace is kept, lasts as long as the block.

    worker: what the series call who works; else the name that the program gave to the task or
    thread, else the number of the place that it takes among the others. timeout: seconds to wait
    for an item, None for ever; then TimeoutError for asyncio's queues and queue.Empty for others,
    as their own ``get`` raises them.

    Raises TypeError for a queue that is not watched.
    """

    def __init__(
        self,
        queue: Queue[T],
        *,
        worker: str | None = None,
        timeout: float | None = None,
    ) -> None:
        watched = hook_of(queue)
        self._work: Work
        if watched is not None:
            self._work = watched.work
            self._task_done: Any = watched.plainly_done
        elif isinstance(queue, WatchedSimpleQueue | WatchedProcessQueue):
            self._work = queue.work
            self._task_done = getattr(queue, "task_done", None)
        else:
            raise TypeError(
                f"gnomon.take: this {type(queue).__name__} is not watched; take from what"
                " gnomon.watch_queue(queue, name) returned"
            )
        self._queue: Any = queue
        self._worker = worker
        self._timeout = timeout
        self._taken: Taken[T] | None = None
        self._trace: Continued | None = None
        self._span: Span | None = None
        self._began = 0.0
        self._name = ""

    def __enter__(self) -> Taken[T]:
        """Wait for an item."""
        if isinstance(self._queue, asyncio.Queue):
            raise TypeError("gnomon.take: an asyncio queue is taken from by `async with`")
        self._work.comes()
        try:
            item = self._queue.get(True, self._timeout)
        except BaseException:
            self._work.goes()
            raise
        return self._begin(item)

    async def __aenter__(self) -> Taken[T]:
        """Wait for an item."""
        if not isinstance(self._queue, asyncio.Queue):
            raise TypeError(
                f"gnomon.take: a {type(self._queue).__name__} would block the event loop: use"
                " `with` in a thread"
            )
        self._work.comes()
        try:
            async with asyncio.timeout(self._timeout):
                item = await self._queue.get()
        except BaseException:
            self._work.goes()
            raise
        return self._begin(item)

    def _begin(self, item: T) -> Taken[T]:
        self._work.begins()
        self._began = now = monotonic()
        taken = self._taken = Taken(item, None)
        try:
            self._name = self._work.names.name(self._worker)
            entry = self._work.taken_here(item)
            if entry is not None:
                if entry.exact:
                    taken.waited = max(0.0, now - entry.entered)
                if entry.headers:
                    self._trace = Continued(entry.headers)
                    self._trace.enter()
                    if sampled(entry.headers):
                        self._span = Span()
                        self._span.enter(
                            f"process {self._work.name}", self._described(), consumer=True
                        )
        except Exception:
            guard.failed("queue")
        return taken

    def _described(self) -> dict[str, str]:
        """Return the attributes of the work's span, by OpenTelemetry's names."""
        return {
            "messaging.system": "memory",
            "messaging.destination.name": self._work.name,
            "messaging.operation.type": "process",
            "gnomon.queue.worker": self._name,
        }

    def _end(self, error: BaseException | None) -> None:
        taken = self._taken
        if taken is None:
            return
        self._taken = None
        outcome = taken.outcome
        if not outcome:
            word = outcome_of(error)
            outcome = {"success": "completed", "cancelled": ""}.get(word, "failed")
        if self._span is not None:
            said = {"gnomon.queue.outcome": outcome or "cancelled"}
            failed = outcome not in ("completed", "")
            self._span.leave(said, error if failed else None, failed=failed)
        if self._trace is not None:
            self._trace.leave()
        self._work.ends(self._name, self._began, outcome)
        if self._task_done is not None:
            self._task_done()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Note what became of the item."""
        self._end(error)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Note what became of the item."""
        self._end(error)
