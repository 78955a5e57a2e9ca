"""multiprocessing.Queue: items carry when they entered, and the processes share what waits."""

from __future__ import annotations

import multiprocessing
import os
from ctypes import c_char, c_double, c_longlong
from time import monotonic
from typing import TYPE_CHECKING, Any

from gnomon import guard, traces
from gnomon.queues import families
from gnomon.queues.labels import OTHER
from gnomon.queues.orders import Entry
from gnomon.queues.work import Work

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Most items whose times of entry are kept; of a longer queue the oldest item may be unknown.
PLACES = 32768

#: Most priorities that the processes count together, and the longest of their names in bytes.
LABELS, LENGTH = 16, 48

#: Seconds that a process waits for another one's counting. One that was killed in it keeps the
#: lock for ever: the gauges are then lost, the queue goes on.
PATIENCE = 0.05

#: Seconds by which items of several processes may overtake each other on their way into the pipe.
OVERTAKING = 5.0


class Envelope:
    """An item on its way, with when it entered. ``place``: where that is noted, -1 for nowhere."""

    __slots__ = ("entered", "headers", "item", "label", "place", "token")

    def __init__(  # noqa: PLR0917  # as pickle calls it
        self,
        item: Any,
        label: str,
        place: int,
        token: int,
        headers: dict[str, str] | None,
        entered: float = 0.0,
    ) -> None:
        self.item = item
        self.label = label
        self.place = place
        self.token = token
        self.headers = headers
        self.entered = entered

    def __reduce__(self) -> Any:
        """Pickle it: another thread may do so before this one comes to note the time."""
        entered = self.entered or monotonic()
        return Envelope, (
            self.item,
            self.label,
            self.place,
            self.token,
            self.headers,
            entered,
        )


class Ledger:
    """What waits in one queue, in memory that all processes share.

    A place has the token of the item that it belongs to, 0 if it is free, and the item's time of
    entry, 0 while that is being put.
    """

    def __init__(self, places: int, context: Any) -> None:
        self._lock = context.Lock()
        #: This process's own memory of labels' numbers, which never change.
        self._indices: dict[str, int] = {}
        self._tokens = context.RawArray(c_longlong, places)
        self._times = context.RawArray(c_double, places)
        self._counts = context.RawArray(c_longlong, LABELS)
        self._labels = context.RawArray(c_char, LABELS * LENGTH)
        self._left = context.RawValue(c_double, 0.0)
        self._next = context.RawValue(c_longlong, 0)
        self._unplaced = context.RawValue(c_longlong, 0)
        self._unplaced_since = context.RawValue(c_double, 0.0)
        self._broken = context.RawValue(c_longlong, 0)

    def _hold(self) -> bool:
        """Take the lock, or give up all counting; return whether it was had."""
        if not self._broken.value:
            if self._lock.acquire(timeout=PATIENCE):
                return True
            self._broken.value = 1
        return False

    def broken(self) -> bool:
        """Whether nothing here is true any more."""
        return bool(self._broken.value)

    def reserve(self) -> tuple[int, int]:
        """Return a place for an item and its token; place -1 if there is none."""
        if not self._hold():
            return -1, 0
        try:
            number = self._next.value
            self._next.value = number + 1
            place = number % len(self._times)
            if self._tokens[place] and not 0 < self._times[place] < self._left.value - OVERTAKING:
                return -1, 0  # taken, and by an item that was not lost on its way
            self._tokens[place], self._times[place] = number + 1, 0.0
            return place, number + 1
        finally:
            self._lock.release()

    def release(self, place: int, token: int) -> None:
        """Give back the place of an item that did not enter."""
        if place >= 0 and self._hold():
            if self._tokens[place] == token:
                self._tokens[place] = 0
            self._lock.release()

    def enter(self, place: int, token: int, label: str, entered: float) -> None:
        """Note an item that has entered; it may have left already."""
        if not self._hold():
            return
        try:
            self._counts[self._index(label)] += 1
            if place < 0:
                self._unplaced.value += 1
                if self._unplaced.value == 1:
                    self._unplaced_since.value = entered
            elif self._tokens[place] == token:
                self._times[place] = entered
        finally:
            self._lock.release()

    def leave(self, envelope: Envelope) -> None:
        """Note an item that has left."""
        if not self._hold():
            return
        try:
            self._counts[self._index(envelope.label)] -= 1
            self._left.value = max(self._left.value, envelope.entered)
            if envelope.place < 0:
                self._unplaced.value -= 1
            elif self._tokens[envelope.place] == envelope.token:
                self._tokens[envelope.place], self._times[envelope.place] = 0, 0.0
        finally:
            self._lock.release()

    def oldest(self) -> float | None:
        """Return when the oldest item entered, None if there is none or it is not known."""
        if self.broken():
            return None
        # What is much older than an item that has left was lost on its way: the queue is first
        # in, first out.
        after = self._left.value - OVERTAKING
        found = min((time for time in self._times if time > max(0.0, after)), default=None)
        if self._unplaced.value > 0 and (found is None or found > self._unplaced_since.value):
            return None
        return found

    def counts(self) -> Mapping[str, int]:
        """Return how many items wait, by label."""
        if self.broken():
            return {}
        found: dict[str, int] = {}
        for index in range(LABELS):
            name = self._labels[index * LENGTH : (index + 1) * LENGTH].rstrip(b"\0")
            if name:
                found[name[1:].decode("utf-8", "replace")] = max(0, self._counts[index])
        return found

    def _index(self, label: str) -> int:
        """Return a label's number; the last one is of all that are too many."""
        known = self._indices.get(label)
        if known is None:
            known = self._indices[label] = self._found(label)
        return known

    def _found(self, label: str) -> int:
        name = b"=" + label.encode("utf-8", "replace")[: LENGTH - 1]
        for index in range(LABELS):
            start = index * LENGTH
            known = self._labels[start : start + LENGTH].rstrip(b"\0")
            if not known:
                self._labels[start : start + LENGTH] = name.ljust(LENGTH, b"\0")
                return index
            if known == name or index == LABELS - 1:
                return index
            if index == LABELS - 2:
                name = b"=" + OTHER.encode()
        return LABELS - 1


class WatchedProcessQueue:
    """Stands around a multiprocessing.Queue, and can be given to other processes as it can.

    All must use this one: who takes from the queue itself gets envelopes.
    """

    def __init__(
        self, queue: Any, name: str, priority: Callable[[Any], object] | None = None
    ) -> None:
        limit = getattr(queue, "_maxsize", 0)
        unlimited = not 0 < limit < 2**31 - 1
        self._limit: int | None = None if unlimited else limit
        ledger = Ledger(PLACES if unlimited else min(limit, PLACES), _context(queue))
        self._become(queue, name, priority, ledger, os.getpid())

    def _become(
        self,
        queue: Any,
        name: str,
        priority: Callable[[Any], object] | None,
        ledger: Ledger,
        owner: int,
    ) -> None:
        self._queue = queue
        self.name = name
        self._priority = priority
        self._ledger = ledger
        self._owner = owner
        self._process = os.getpid()
        self._own = Work(name, priority)
        families.show(self)

    def __getstate__(self) -> Any:
        """Give what another process needs; possible only while that one is started."""
        return self._queue, self.name, self._priority, self._ledger, self._owner, self._limit

    def __setstate__(self, state: Any) -> None:
        """Begin in another process."""
        *rest, self._limit = state
        self._become(*rest)

    def __getattr__(self, name: str) -> Any:
        """Return what is the queue's own, such as ``close`` and ``task_done``."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._queue, name)

    @property
    def work(self) -> Work:
        """What this process does with the items; one that was forked begins anew."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self._own = Work(self.name, self._priority)
        return self._own

    def put(self, obj: Any, block: bool = True, timeout: float | None = None) -> None:
        """Put an item; raises queue.Full."""
        try:
            label = self.work.priorities.label(obj)
        except Exception:
            guard.failed("queue")
            label = ""
        place, token = self._ledger.reserve()
        envelope = Envelope(obj, label, place, token, traces.trace_headers() or None)
        try:
            self._queue.put(envelope, block, timeout)
        except BaseException:
            self._ledger.release(place, token)
            raise
        try:
            envelope.entered = entered = monotonic()
            self._ledger.enter(place, token, label, entered)
            self.work.submitted(label)
        except Exception:
            guard.failed("queue")

    def put_nowait(self, obj: Any) -> None:
        """Put an item; raises queue.Full."""
        self.put(obj, block=False)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take an item; raises queue.Empty."""
        found = self._queue.get(block, timeout)
        if not isinstance(found, Envelope):  # put by somebody who has the queue itself
            return found
        try:
            self._ledger.leave(found)
            entry = Entry(found.entered, found.label, found.headers)
            self.work.left(found.item, entry, monotonic())
        except Exception:
            guard.failed("queue")
        return found.item

    def get_nowait(self) -> Any:
        """Take an item; raises queue.Empty."""
        return self.get(block=False)

    def qsize(self) -> int:
        """Return about how many items are in it; raises NotImplementedError on macOS."""
        size: int = self._queue.qsize()
        return size

    def _size(self) -> int | None:
        try:
            return self.qsize()
        except (NotImplementedError, OSError, ValueError):  # macOS; closed
            return None

    def depths(self) -> Mapping[str, int]:
        """See ``Watched``; told by the process that began to watch, once for all."""
        size = self._size() if os.getpid() == self._owner else None
        if size is None:
            return {}
        if not self.work.priorities:
            return {"": size}
        return dict.fromkeys(self._ledger.counts(), 0) if not size else self._ledger.counts()

    def capacity(self) -> int | None:
        """See ``Watched``."""
        return self._limit if os.getpid() == self._owner else None

    def entered(self) -> float | None:
        """See ``Watched``."""
        if os.getpid() != self._owner or not self._size():
            return None
        return self._ledger.oldest()

    def in_flight(self) -> int | None:
        """See ``Watched``; of this process."""
        return self.work.in_flight()

    def workers(self) -> int | None:
        """See ``Watched``; of this process."""
        return self.work.workers()


def _context(queue: Any) -> Any:
    """Return the context that a queue's own locks are of: a lock can go where those can."""
    forks = getattr(getattr(queue, "_rlock", None), "_is_fork_ctx", None)
    if forks is None:  # before Python 3.11.5
        return multiprocessing.get_context()
    return multiprocessing.get_context("fork" if forks else "spawn")
