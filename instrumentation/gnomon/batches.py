"""Batches: many awaitables, a few at a time, each with an outcome of its own."""

from __future__ import annotations

import asyncio
import inspect
import math
import os
from collections.abc import Awaitable, Callable, Iterable, Sized
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Generic, TypeVar

from gnomon import guard, subjects, traces
from gnomon.families import Counters, Gauges, Histograms
from gnomon.outcomes import Outcome, outcome_of
from gnomon.usage.ledger import counted

T = TypeVar("T")

#: Most names of batches that are told apart.
CAP = 200

#: Seconds.
_BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)

_items = Counters(
    "gnomon_batch_items",
    "Items of batches that ended, by outcome: success, failure, timeout or cancelled.",
    ("batch", "outcome"),
    4 * CAP,
)
_duration = Histograms(
    "gnomon_batch_duration_seconds",
    "Time from a batch's beginning to the end of its last item.",
    ("batch",),
    CAP,
    _BOUNDS,
)
_in_flight = Gauges(
    "gnomon_batch_in_flight", "Items of batches that are being worked on.", ("batch",), CAP
)
subjects.add(_items, _duration, _in_flight)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_flight.zero)


@dataclass(frozen=True, slots=True)
class Item(Generic[T]):
    """What became of one item of a batch.

    outcome: ``success``, ``failure`` (it raised), ``timeout`` (its time, or the batch's, was up)
    or ``cancelled``. value: what it returned, None without success. error: what it raised, None
    with success; a TimeoutError if it was never begun because the time was up. seconds: how long
    it ran, 0 if it was never begun.
    """

    outcome: Outcome
    value: T | None
    error: BaseException | None
    seconds: float

    def result(self) -> T:
        """Return the value, or raise what the item raised."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]  # None only if that is what it returned


async def gather(
    items: Iterable[Awaitable[T] | Callable[[], Awaitable[T]]],
    *,
    limit: int = 10,
    timeout: float | None = 30,  # noqa: ASYNC109  # the items' outcomes outlive the time limit
    item_timeout: float | None = None,
    name: str = "gather",
) -> list[Item[T]]:
    """Run awaitables, a few at a time, and return what became of each, in their order.

    No item's failure concerns the others, and nothing is raised for it: see ``Item.outcome`` and
    ``Item.result()``. When the call returns or raises, none of its tasks is left.

    items: awaitables, or functions without arguments that return one, which are called when
    their turn comes; each runs in a task of its own. A generator is read as places become free,
    and to its end in any case.
    limit: most items at a time. timeout: seconds for the whole batch, None for no limit; items
    that run then are cancelled and waited for, those that have not begun never do.
    item_timeout: seconds for each item, from when it begins. name: the batch's label on
    ``gnomon_batch_items_total``, ``gnomon_batch_duration_seconds`` and
    ``gnomon_batch_in_flight``: a word of the program's, not an id.

    If the caller is cancelled, so are all items, and the cancellation goes on once they have
    ended. Raises ValueError for a limit or time that cannot be right, TypeError for an item that
    is no awaitable and returns none. asyncio only.
    """
    if limit < 1:
        raise ValueError(f"limit: {limit} lets no item run")
    for argument, seconds in (("timeout", timeout), ("item_timeout", item_timeout)):
        if seconds is not None and not (seconds >= 0 and math.isfinite(seconds)):
            raise ValueError(f"{argument}: {seconds} is no time in seconds")
    timer = asyncio.timeout(timeout)
    batch = _Batch(items, limit, item_timeout, timer, name)
    began = perf_counter()
    try:
        try:
            async with timer:
                await batch.run()
        except TimeoutError:
            if not timer.expired():  # the iterable's own
                raise
            batch.give_up()
    except BaseException:
        batch.dispose()
        raise
    finally:
        _record(name, batch.outcomes, perf_counter() - began)
    return [batch.outcomes[index] for index in range(len(batch.outcomes))]


class _Batch(Generic[T]):
    """One call of ``gather``."""

    def __init__(
        self,
        items: Iterable[Awaitable[T] | Callable[[], Awaitable[T]]],
        limit: int,
        item_timeout: float | None,
        timer: asyncio.Timeout,
        name: str,
    ) -> None:
        self.outcomes: dict[int, Item[T]] = {}
        self._items = enumerate(items)
        self._sized = isinstance(items, Sized)
        self._limit = limit
        self._item_timeout = item_timeout
        self._timer = timer
        self._running: set[asyncio.Task[T]] = set()
        self._freed: asyncio.Future[None] | None = None
        self._level = _in_flight.child(name)

    async def run(self) -> None:
        """Run all items; however this ends, none of their tasks is left."""
        try:
            for index, item in self._items:
                self._start(index, item)
                while len(self._running) >= self._limit:
                    await self._one_ends()
            while self._running:
                await self._one_ends()
        finally:
            await self._stop()

    def give_up(self) -> None:
        """Note that what has not begun never will, for the batch's time is up."""
        for index, item in self._items:
            _dispose(item)
            error = TimeoutError("the batch's time was up before this item could begin")
            self.outcomes[index] = Item("timeout", None, error, 0.0)

    def dispose(self) -> None:
        """Let go of what has not begun; a generator's items do not exist yet."""
        if self._sized:
            for _, item in self._items:
                _dispose(item)

    async def _one_ends(self) -> None:
        self._freed = asyncio.get_running_loop().create_future()
        await self._freed

    def _start(self, index: int, item: Awaitable[T] | Callable[[], Awaitable[T]]) -> None:
        began = perf_counter()
        task = asyncio.create_task(counted(self._awaited(item)))
        self._running.add(task)
        self._level.add(1)

        def ended(task: asyncio.Task[T]) -> None:
            self._running.discard(task)
            self._level.add(-1)
            _dispose(item)  # a task that is cancelled before its first step has not touched it
            self.outcomes[index] = self._outcome(task, perf_counter() - began)
            if self._freed is not None and not self._freed.done():
                self._freed.set_result(None)

        task.add_done_callback(ended)

    async def _awaited(self, item: Awaitable[T] | Callable[[], Awaitable[T]]) -> T:
        async with asyncio.timeout(self._item_timeout):
            made = item if inspect.isawaitable(item) else item()
            if not inspect.isawaitable(made):
                raise TypeError(
                    "gnomon.gather takes awaitables, or functions that return one, not"
                    f" {type(item).__name__}: give it the coroutine, or an async function"
                )
            value: T = await made
            return value

    def _outcome(self, task: asyncio.Task[T], seconds: float) -> Item[T]:
        if task.cancelled():
            if self._timer.expired():
                late = TimeoutError("the batch's time was up")
                return Item("timeout", None, late, seconds)
            return Item("cancelled", None, asyncio.CancelledError(), seconds)
        error = task.exception()
        if error is not None:
            return Item(outcome_of(error), None, error, seconds)
        return Item("success", task.result(), None, seconds)

    async def _stop(self) -> None:
        """Cancel what runs and wait for it, even if the caller is cancelled meanwhile."""
        interrupted: asyncio.CancelledError | None = None
        for task in self._running:
            task.cancel()
        while self._running:
            try:
                await asyncio.wait(self._running)
            except asyncio.CancelledError as error:
                interrupted = error
                for task in self._running:
                    task.cancel()
        if interrupted is not None:
            raise interrupted


def _dispose(item: Any) -> None:
    """Let go of an item that nobody will await."""
    if inspect.iscoroutine(item):
        item.close()
    elif asyncio.isfuture(item):
        item.cancel()


def _record(name: str, outcomes: dict[int, Item[Any]], seconds: float) -> None:
    try:
        _duration.child(name).observe(seconds, traces.exemplar())
        counts = dict.fromkeys(("success", "failure"), 0)  # these exist from the first batch on
        for item in outcomes.values():
            counts[item.outcome] = counts.get(item.outcome, 0) + 1
        for outcome, count in counts.items():
            _items.child(name, outcome).inc(count)
    except Exception:
        guard.failed("batch")
