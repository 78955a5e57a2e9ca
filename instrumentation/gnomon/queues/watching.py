"""Watch a queue, whatever kind it is of."""

from __future__ import annotations

import asyncio
import multiprocessing.queues
import queue as threads
from typing import TYPE_CHECKING, Any, TypeVar

from gnomon.queues.hooked import Hooked, hook_of
from gnomon.queues.processes import WatchedProcessQueue
from gnomon.queues.simple import WatchedSimpleQueue

if TYPE_CHECKING:
    from collections.abc import Callable

Q = TypeVar("Q")


def watch_queue(queue: Q, name: str, *, priority: Callable[[Any], object] | None = None) -> Q:
    """Measure a queue, and return what to use in its place.

    queue: an asyncio.Queue, a queue.Queue, one of their kinds and subclasses, a
    queue.SimpleQueue, or a multiprocessing.Queue or JoinableQueue. The first two stay what they
    are and are returned; around the others stands what is returned, and all who put and take,
    in other processes too, must use that. Waiting, time limits, Full, Empty, cancellation,
    ``task_done`` and ``join`` are the queue's own.

    name: the label ``queue``, a word of the program's. Several queues of one name are shown as
    one: their depths are added, the oldest item is that of all.

    priority: tells an item's priority, a few different values (an Enum's member is shown by its
    name; beyond 32 they are ``_OTHER``). It is called while the queue's lock is held, so it must
    be quick and leave the queue alone; for a queue between processes it must be one that can be
    pickled. Without it the label is "", but for PriorityQueue of tuples whose first element is a
    whole number from -100 to 100: that is it.

    Shown are ``gnomon_queue_depth`` by priority, ``…_capacity`` if there is a limit,
    ``…_oldest_age_seconds`` while something waits, ``…_submitted_total`` and ``…_wait_seconds``
    by priority; items that are in the queue already have waited longer than is known, and their
    wait is not counted. Of the work on the items queues know little: whoever takes with
    ``gnomon.take`` has it in ``…_in_flight``, ``…_workers``, ``…_run_seconds``,
    ``…_completed_total``, ``…_failed_total``, ``…_retried_total`` and ``…_dead_total``; a plain
    ``get`` with ``task_done`` counts as completed when that is called.

    Raises TypeError for anything else, ValueError for an empty name or a queue that is watched
    under another one.
    """
    if not name:
        raise ValueError(f"watch_queue: {name!r} is no name; give the queue's, such as 'mails'")
    if priority is not None and not callable(priority):
        raise TypeError("watch_queue: priority is a function of an item, or None")
    if isinstance(queue, WatchedSimpleQueue | WatchedProcessQueue):
        return _again(queue, queue.name, name)
    found: Any
    if isinstance(queue, asyncio.Queue | threads.Queue):
        hook = hook_of(queue)
        if hook is not None:
            return _again(queue, hook.name, name)
        if priority is None and isinstance(queue, asyncio.PriorityQueue | threads.PriorityQueue):
            priority = _first
        Hooked(queue, name, priority)
        return queue
    if isinstance(queue, threads.SimpleQueue):
        found = WatchedSimpleQueue(queue, name, priority)
        return found  # type: ignore[no-any-return]
    if isinstance(queue, multiprocessing.queues.Queue):
        found = WatchedProcessQueue(queue, name, priority)
        return found  # type: ignore[no-any-return]
    raise TypeError(
        f"watch_queue takes an asyncio.Queue, a queue.Queue or SimpleQueue, or a"
        f" multiprocessing.Queue, not {type(queue).__name__}"
    )


def _again(queue: Q, known: str, name: str) -> Q:
    if known != name:
        raise ValueError(f"watch_queue: this queue is watched already, under the name {known!r}")
    return queue


def _first(item: Any) -> object:
    """Return the priority in the usual tuple of priority and task."""
    if isinstance(item, tuple) and item:
        first = item[0]
        if isinstance(first, int) and -100 <= first <= 100:
            return int(first) if not hasattr(first, "name") else first
    return ""
